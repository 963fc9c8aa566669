"""A worker whose place for bytes is away, or is the wrong one, takes no work: another may have the volume mounted."""

from __future__ import annotations

import logging
import time

from services.artifacts.store import ArtifactStore
from services.errors import Unavailable
from workers.lease import Drain, Draining

logger = logging.getLogger(__name__)

AGAIN_S = 1.0


def wait_for(artifacts: ArtifactStore, drain: Drain) -> None:
    """Return once the store of artifacts can be used; raises Draining where this worker is told to shut down first."""
    while True:
        try:
            artifacts.check()
        except Unavailable as error:
            logger.warning("no work is taken yet: %s", error.message)
            if drain.requested():
                raise Draining from error
            time.sleep(AGAIN_S)
        else:
            return
