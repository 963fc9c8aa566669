"""A worker of an earlier generation, as the store sees it: `celery -A old_app worker`, with this folder on the path."""

from __future__ import annotations

from services.jobs import functions

functions.GENERATION -= 1

from workers import app as product  # noqa: E402 - made to be of another generation first

app = product.app
# A spawned child imports what the configuration names, and knows nothing of the command line.
app.conf.imports = [__name__]
