"""The worker that benchmarks/service.py rings: the real one, except that a claimed unit is only noted and ended.

`bench.start` is the floor, a Celery task that does nothing but note that it has started.
"""

from __future__ import annotations

import os
import time
from typing import Any

from celery.signals import worker_process_init
from google.rpc import status_pb2

from services.jobs.record import Lease
from workers.app import _Child, app
from workers.lease import Heartbeat
from workers.lease.outcome import Failed

ENDED = Failed(error=status_pb2.Status(code=1, message="only claimed").SerializeToString(), registration=None)


def note(name: str) -> None:
    """Write the moment; Linux's monotonic clock is the same for every process."""
    with open(os.environ["BENCH_NOTES"], "a") as notes:  # noqa: PTH123 - one short append, as cheap as can be
        notes.write(f"{name} {time.monotonic_ns()}\n")


@app.task(name="bench.start")
def start(name: str) -> None:
    note(name)


@worker_process_init.connect
def only_note(**_: object) -> None:
    def run(lease: Lease, heartbeat: Heartbeat) -> Failed:
        del heartbeat
        note(lease.job_id)
        return ENDED

    worker: Any = _Child.worker
    object.__setattr__(worker, "run", run)
