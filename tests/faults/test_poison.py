"""F9: a job that destroys whoever works on it is put aside, says why, and costs the others nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
import sparring
from sparring.v1 import jobs_pb2

from services.jobs.states import State
from services.local import launch

from .history import History
from .invariants import check_history
from .load import DATASET, MODEL, replay
from .runs import Bench
from .stack import FaultStack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
FIRST_SEED = 666_000
# In the order of `poison_app.POISONS`: how each job must end, and what its error must say.
ENDS = {
    "kill": (State.QUARANTINED, "SIGKILL"),
    "segfault": (State.QUARANTINED, "SIGSEGV"),
    "leave": (State.QUARANTINED, "status 7"),
    "ask_to_exit": (State.QUARANTINED, "SystemExit"),
    "hang": (State.QUARANTINED, ""),
    "out_of_memory": (State.FAILED, "memory"),
    "huge_exception": (State.FAILED, "RuntimeError"),
    "unpicklable": (State.FAILED, "Unpicklable"),
}
LONGEST_MESSAGE = 20_000
QUIET_S = 8.0


@pytest.fixture(scope="module")
def poisoned(fast_folder: Path) -> Iterator[Bench]:
    """A stack whose workers know the poisons. Units mostly wait, so that who starts again takes nobody's processor."""
    with pytest.MonkeyPatch.context() as patch:
        changed = tuple("poison_app" if part == "workers.app" else part for part in launch.WORKER)
        patch.setattr(launch, "WORKER", changed)
        variables = {
            "PYTHONPATH": str(Path(__file__).parent),
            "SPARRING_LEASE_S": "2",
            "SPARRING_STALL_S": "1",
            "SPARRING_FAULTS": "worker.computed:0.5",
        }
        stack = FaultStack(fast_folder / "faults-poison", "valkey", environment=variables)
        with stack.running():
            yield Bench.prepare(stack)


def submit(client: sparring.Client, number: int) -> jobs_pb2.Job:
    return client.attack(MODEL, DATASET, "fgsm", epsilon=0.1, count=16, seed=FIRST_SEED + number)


def cadence_s(histories: list[History], begin_s: float, end_s: float) -> float:
    """Median time between two commits of one worker process that follow each other in a span of time."""
    commits: dict[str, list[float]] = {}
    for history in histories:
        for event in history.events:
            if event.change == "committed" and begin_s <= event.time_s <= end_s:
                commits.setdefault(event.worker, []).append(event.time_s)
    gaps = []
    for times in commits.values():
        times.sort()
        gaps += [after - before for before, after in pairwise(times)]
    return median(gaps)


def test_poison_is_put_aside_with_its_cause_and_others_go_on_as_before(poisoned: Bench, rng, report, scaled) -> None:
    stack, names = poisoned.stack, list(ENDS) * scaled(1)
    with poisoned.run("F9 poison", rng, report, in_flight=8, mix=("fgsm", "bim")) as run, stack.client() as client:
        time.sleep(1.0)
        began = time.time()
        time.sleep(QUIET_S)
        poured = time.time()
        jobs = [submit(client, list(ENDS).index(name)).name for name in names]
        stack.injected["poison"] += len(jobs)
        for job in jobs:
            client.jobs.wait(job, timeout_s=120)
        ended = time.time()
    with stack.client() as client:
        for name, job in zip(names, jobs, strict=True):
            state, words = ENDS[name]
            history = replay(client, stack.redis, job, expected="", allowed=frozenset({state}))
            run.violations += list(check_history(history))
            assert words in history.error, f"{name}: {history.error}"
            assert len(history.error) < LONGEST_MESSAGE, f"{name}: {len(history.error)} characters"
    assert run.violations == []
    before, after = cadence_s(run.histories, began, poured), cadence_s(run.histories, poured, ended)
    assert before / after >= 0.9, f"a unit each {before:.3f} s before the poison, each {after:.3f} s beside it"
