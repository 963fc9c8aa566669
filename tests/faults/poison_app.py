"""The worker's application, in which some jobs are poison: `celery -A poison_app worker`, with this folder on the path.

An attack whose seed is that of a poison does to its worker what the poison says, at every attempt; all else is
computed as ever.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from sparring.v1 import jobs_pb2

from services.jobs.record import Lease
from workers import app as product
from workers.lease import Heartbeat, Outcome

app = product.app
# A spawned child imports what the configuration names, and knows nothing of the command line.
app.conf.imports = [__name__]
compute_as_ever = product.compute
FIRST_SEED = 666_000


class Unpicklable(Exception):
    """Can be neither copied nor told: holds a lock, and its text can't be made."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())

    def __reduce__(self) -> NoReturn:
        raise TypeError("not to be pickled")

    def __str__(self) -> NoReturn:
        raise RuntimeError("not to be told")


def kill(_: Heartbeat) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault(_: Heartbeat) -> None:
    ctypes.string_at(0)


def leave(_: Heartbeat) -> None:
    os._exit(7)


def ask_to_exit(_: Heartbeat) -> None:
    sys.exit("enough")


def hang(_: Heartbeat) -> None:
    time.sleep(600)


def out_of_memory(_: Heartbeat) -> None:
    raise MemoryError


def huge_exception(_: Heartbeat) -> None:
    raise RuntimeError("x" * 20_000_000)


def unpicklable(_: Heartbeat) -> None:
    raise Unpicklable


POISONS = (kill, segfault, leave, ask_to_exit, hang, out_of_memory, huge_exception, unpicklable)


def number_of(spec: bytes) -> int:
    """Which poison a job is; beyond their number for none."""
    number = jobs_pb2.Job.FromString(spec).attack.seed - FIRST_SEED
    return number if 0 <= number < len(POISONS) else len(POISONS)


def poison(run_shard: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What computes a shard, once some of them are poison."""

    def run(unit: Any) -> Any:
        for act in POISONS[number_of(unit.lease.spec) :][:1]:
            act(unit.heartbeat)
        return run_shard(unit)

    return run


def compute(lease: Lease, heartbeat: Heartbeat, context: Any) -> Outcome:
    # Imported here, as in the product: the parent must not load torch.
    from workers import run

    if number_of(lease.spec) == POISONS.index(ask_to_exit):
        # Not where errors are expected, and told to the job, but around that.
        ask_to_exit(heartbeat)
    if not hasattr(run, "poisoned"):
        run.UNITS["attack"] = poison(run.UNITS["attack"])
        run.poisoned = True
    return compute_as_ever(lease, heartbeat, context)


product.compute = compute
