"""`python -m services.jobs.load`: give the store its functions, once, as the user that may (deploy/users.acl).

Where the gateway's own user may load functions, as in the embedded stack, it does so by itself.
"""

from __future__ import annotations

import sys

from services.connection import connect
from services.environment import SettingsError
from services.errors import SparringError
from services.jobs import functions
from services.jobs.store import JobStore
from services.settings import StoreSettings


def main() -> int:
    """Load them unless the store holds these, or later ones; the exit status."""
    try:
        settings = StoreSettings.from_env()
        with connect(settings) as redis:
            store = JobStore(redis, settings)
            store.load_functions()
            held = store.loaded_version()
    except (SettingsError, SparringError) as error:
        print(f"the store has no functions yet: {error}", file=sys.stderr)
        return 1
    print(f"the store has functions {held}; this version's are {functions.version()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
