"""F13: processes and functions of different generations refuse each other, and lose nothing by it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.jobs import functions
from services.jobs.store import JobStore

from .history import worker_pid
from .runs import Bench
from .stack import FaultStack, children

# One store is enough: what is refused is refused by names of functions.
pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("store", ["valkey"], indirect=True, scope="session"),
]
OLD_WORKER = (
    *(sys.executable, "-m", "celery", "-A", "old_app", "worker", "-n", "old@%h", "--loglevel", "INFO"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
REFUSED_S = 1.5


def library(generation: int) -> str:
    """The functions as they would be called in another generation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "GENERATION", generation)
        return functions.library.__wrapped__()


def leases_given(stack: FaultStack) -> int:
    return int(stack.redis.get("{sparring}:fence") or 0)


@contextmanager
def old_worker(stack: FaultStack, folder: Path) -> Iterator[int]:
    """A worker of the generation before, on the same store; the pid of its computing process."""
    own = {"PYTHONPATH": str(Path(__file__).parent), "SPARRING_LANE": "cpu", "PYTHONUNBUFFERED": "1"}
    with (folder / "old.log").open("wb") as log:
        environment = {**os.environ, **stack.local.store_environment, **own}
        process = subprocess.Popen(OLD_WORKER, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield stack.wait_for(lambda: next(iter(children(process.pid)), 0), "the old worker has a child")
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()


def test_an_old_worker_takes_nothing_and_holds_nobody_up(bench: Bench, rng, report, tmp_path: Path) -> None:
    stack = bench.stack
    with bench.run("F13 old worker, new functions", rng, report) as run, old_worker(stack, tmp_path) as child:
        log = tmp_path / "old.log"
        stack.wait_for(lambda: b"functions" in log.read_bytes(), "the old worker is refused")
        stack.injected["old worker"] += 1
        before = leases_given(stack)
        stack.wait_for(lambda: leases_given(stack) > before + 10, "the others work on")
    workers = {event.worker for history in run.histories for event in history.events if event.worker}
    assert child not in {worker_pid(worker) for worker in workers}


def test_functions_of_an_older_generation_are_replaced_and_of_a_newer_left_alone(bench: Bench, rng, report) -> None:
    stack = bench.stack
    ours = functions.GENERATION
    with bench.run("F13 other functions", rng, report, recovery_s=10.0) as run:
        stack.wait_for(stack.holders, "a worker holds a unit")
        stack.redis.function_load(library(ours - 1), replace=True)
        stack.injected["older functions"] += 1
        replaced = time.monotonic()
        store = JobStore(stack.connect())
        stack.wait_for(lambda: store.loaded_version() == functions.version(), "the gateway loads its own again")
        run.recoveries_s.append(time.monotonic() - replaced)
        stack.wait_for(stack.holders, "work goes on")
        stack.redis.function_load(library(ours + 1), replace=True)
        stack.injected["newer functions"] += 1
        before = leases_given(stack)
        time.sleep(REFUSED_S)
        assert store.loaded_version().startswith(f"{ours + 1}-"), "an old process took the new functions back"
        assert leases_given(stack) == before, "functions of another generation gave a lease"
        stack.redis.function_load(library(ours), replace=True)
