"""F1, F2, F4: whatever is killed at whatever moment, jobs end with the bytes that they would have had."""

from __future__ import annotations

import signal
import time

import pytest

from services.jobs.states import State

from .injuries import ChildKiller, kill_parents, kill_store
from .invariants import check_history
from .load import DATASET, MIX, replay
from .runs import Bench
from .stack import PAUSES

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
# Reached only by a worker that drains with a unit too long to finish: it has a test of its own.
POINTS = tuple(point for point in PAUSES if point != "worker.releasing")


def test_a_child_that_is_killed_anywhere_costs_nothing_but_time(bench, rng, report, scaled) -> None:
    kills, points = scaled(25), POINTS * scaled(2)
    with bench.run("F1 worker child killed", rng, report) as run:
        ChildKiller(run, rng, kills, points).work()
    # What is computed again is what was lost, and nothing else.
    assert 0 < run.lost_units() <= kills + len(points), run.lost_causes()


@pytest.mark.parametrize("store", ["valkey"], indirect=True, scope="session")
def test_a_child_that_is_killed_while_it_gives_its_unit_back_has_lost_it(bench, rng, report) -> None:
    stack = bench.stack
    with bench.run("F1 killed while releasing", rng, report, in_flight=2) as run, stack.client() as client:
        job = client.train(DATASET, architecture="wong_cnn", count=1500, epochs=9000, batch_size=50).name
        child = stack.wait_for(lambda: holder(bench, job), "the long training is taken")
        reached = stack.points.stat().st_size
        parent = next(pid for name, pid in stack.parents().items() if stack.child(name) == child)
        assert stack.send(parent, signal.SIGTERM, "drain")
        line = f"worker.releasing {PAUSES['worker.releasing']} {child}\n".encode()
        stack.wait_for(lambda: line in stack.points.read_bytes()[reached:], "the worker gives it back")
        run.lost_at[child] = time.time()
        assert stack.send(child, signal.SIGKILL, "kill child")
        stack.wait_for(lambda: holder(bench, job) not in {0, child}, "somebody else takes it")
        client.jobs.cancel(job)
        client.jobs.wait(job, timeout_s=60)
        history = replay(client, stack.redis, job, expected="", allowed=frozenset({State.CANCELLED}))
    assert list(check_history(history)) == []
    changes = [(event.change, event.attempt) for event in history.events if event.unit == 0]
    assert changes[:3] == [("claimed", 1), ("lost", 1), ("claimed", 2)]


def holder(bench: Bench, job: str) -> int:
    """The process that holds a unit of a job; 0 for none."""
    held = bench.stack.holders()
    return next((pid for pid, (name, _, _) in held.items() if name == job.removeprefix("jobs/")), 0)


def test_a_parent_or_a_group_that_is_killed_leaves_nobody_writing(bench, rng, report, scaled) -> None:
    kills = scaled(10)
    # No trainings: on a busy machine they keep the workers that are left from what was lost.
    mix = tuple(kind for kind in MIX if kind != "training")
    with bench.run("F2 worker parent or group killed", rng, report, mix=mix) as run:
        kill_parents(run, rng, kills)
    assert 0 < run.lost_units() <= kills, run.lost_causes()


def test_a_store_that_is_killed_comes_back_with_everything(bench, rng, report, scaled) -> None:
    with bench.run("F4 store killed", rng, report) as run:
        back_s = kill_store(run, rng, scaled(10))
        run.recoveries_s += back_s
    assert max(back_s) <= 10
