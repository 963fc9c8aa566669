"""A worker whose jobs say what is to become of it: `celery -A poison_app worker`, with this folder on the path.

The spec of a job is the name of a poison, by which its first attempt dies, or "always NAME", by which every one does.
It loads no torch, so that a child that died is soon replaced.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from types import ModuleType, SimpleNamespace

from services.jobs.record import Lease
from workers import app as product
from workers.failures import DeviceLost
from workers.lease import Committed, Failed, Finished, Heartbeat, Outcome, status

app = product.app
# A spawned child imports what the configuration names, and knows nothing of the command line.
app.conf.imports = [__name__]
product.HUNG_AFTER_LEASE_S = 1.0


def kill(_: Heartbeat) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(_: Heartbeat) -> None:
    ctypes.string_at(0)


def leave(_: Heartbeat) -> None:
    os._exit(7)


def ask_to_exit(_: Heartbeat) -> None:
    sys.exit("enough")


def stall(_: Heartbeat) -> None:
    while True:
        time.sleep(0.01)


def seize(_: Heartbeat) -> None:
    """Hold the interpreter's lock, so that no thread of this process gets to do anything."""
    ctypes.PyDLL(None).sleep(60)


def freeze(_: Heartbeat) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def work(heartbeat: Heartbeat) -> None:
    """Takes a minute, ticking."""
    for step in range(6000):
        heartbeat.tick(step / 6000)
        time.sleep(0.01)


def fail(_: Heartbeat) -> None:
    raise RuntimeError("x" * 10_000_000)


def lose_device(_: Heartbeat) -> None:
    """As `run_unit` does where CUDA says so."""
    raise DeviceLost("AcceleratorError: CUDA error: an illegal memory access was encountered")


POISONS = {
    poison.__name__: poison
    for poison in (kill, crash, leave, ask_to_exit, stall, seize, freeze, work, fail, lose_device)
}


def compute(lease: Lease, heartbeat: Heartbeat, _: object) -> Outcome:
    if lease.closing:
        return Finished(b"")
    always, _, name = lease.spec.decode().rpartition(" ")
    if name and (always or lease.attempt == 1):
        POISONS[name](heartbeat)
    return Committed("digest") if name else Failed(status("NOTHING", "nothing asked for").SerializeToString())


product.compute = compute
double = ModuleType("workers.run")
double.Context = SimpleNamespace
double.device = SimpleNamespace(
    take=lambda *_: SimpleNamespace(device="none", name="a test", devices=()), capacity=lambda _: 0
)
double.mounts = SimpleNamespace()
double.places = SimpleNamespace(wait_for=lambda *_: None)
sys.modules["workers.run"] = double
