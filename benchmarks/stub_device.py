"""The worker that benchmarks/scaling.py starts: the real one, but for a device that takes a fixed time for a shard.

`celery -A stub_device worker`, with this folder on the path. A shard of an attack whose seed is `STUB_SEED` sleeps for
SCALING_SHARD_S seconds in place of computing, and then keeps SCALING_SHARD_BYTES bytes as its result; the closing unit
finishes the job at once. Claims, leases, heartbeats, artifacts, commits and everything else are the product's.
"""

from __future__ import annotations

import os
import time
from typing import Any

from sparring.v1 import jobs_pb2

from services.jobs.record import Lease
from workers import app as product
from workers.lease import Committed, Finished, Heartbeat, Outcome

STUB_SEED = 909_090

app = product.app
# A spawned child imports what the configuration names, and knows nothing of the command line.
app.conf.imports = [__name__]
compute_as_ever = product.compute


def compute(lease: Lease, heartbeat: Heartbeat, context: Any) -> Outcome:
    """Sleep for a shard, keep some bytes."""
    if lease.kind != "attack" or jobs_pb2.Job.FromString(lease.spec).attack.seed != STUB_SEED:
        return compute_as_ever(lease, heartbeat, context)
    if lease.closing:
        return Finished(jobs_pb2.JobResult().SerializeToString())
    ends = time.monotonic() + float(os.environ["SCALING_SHARD_S"])
    heartbeat.tick(0.0, "the stub sleeps")
    size = int(os.environ["SCALING_SHARD_BYTES"])
    content = lease.token.to_bytes(8, "big") * (size // 8)
    time.sleep(max(0.0, ends - time.monotonic()))
    heartbeat.tick(1.0)
    return Committed(context.artifacts.put(lease.tenant, content, "application/octet-stream"))


product.compute = compute
