"""A process that puts an artifact or sweeps, as its argument says, and is killed where SPARRING_FAULTS says."""

import sys

from services.artifacts.outside import connect_outside
from services.artifacts.store import ArtifactStore
from services.artifacts.sweeping import Sweeper
from services.connection import connect
from services.settings import StoreSettings

if __name__ == "__main__":
    settings = StoreSettings.from_env()
    redis = connect(settings)
    if sys.argv[1] == "put":
        ArtifactStore(redis, settings).put("t", sys.stdin.buffer.read())
    else:
        outside = connect_outside(settings.artifacts, redis)
        assert outside is not None
        Sweeper(outside, redis).sweep()
    print("done")
