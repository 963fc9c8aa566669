"""The worker's fault points lie where their descriptions say, and a fault at one of them does what it is for."""

from __future__ import annotations

from itertools import groupby

import pytest
from sparring.v1 import defenses_pb2

from services import faultpoints
from services.jobs.states import State
from workers.run import training

STANDARD = defenses_pb2.Defense(standard=defenses_pb2.StandardTraining())
SHARD = ["worker.claimed", "worker.computed", "worker.put", "worker.committed"]
CLOSING = ["worker.claimed", "worker.finishing", "worker.committed"]


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The points of workers in their order; those of the store of artifacts, which come in between, are left out."""
    points: list[str] = []

    def reach(point: str) -> None:
        if point.startswith("worker."):
            points.append(point)

    monkeypatch.setattr(faultpoints, "reach", reach)
    return points


@pytest.fixture
def faults():
    """Ask for faults; none are left behind."""
    yield lambda rules: faultpoints.configure({"SPARRING_FAULTS": rules})
    faultpoints.configure({})


def test_the_points_of_an_attack_come_in_their_order(bench, make, reached: list[str]) -> None:
    bench.result(make.attack(bench.model()))
    assert reached == [*SHARD, *SHARD, *SHARD, *CLOSING]


def test_the_points_of_a_training_come_in_their_order(
    bench, make, reached: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_S", 1e9)
    bench.result(make.training(STANDARD))
    assert reached == ["worker.claimed", *3 * ["worker.checkpointed"], *SHARD[1:], *CLOSING]


def test_a_worker_that_drains_says_when_it_gives_its_unit_back(bench, make, reached: list[str]) -> None:
    def draining(heartbeat):
        bench.drain.request()
        heartbeat._ends_by = lambda _: False
        return heartbeat

    job = make.training(STANDARD, epochs=100_000)
    bench.submit(job)
    bench.serve(draining)
    assert [point for point, _ in groupby(reached)][-2:] == ["worker.checkpointed", "worker.releasing"]
    assert {point for point in faultpoints.POINTS if point.startswith("worker.")} - set(reached) == {
        *SHARD[1:],
        "worker.finishing",
    }


@pytest.mark.parametrize("point", ["worker.claimed", "worker.committed"])
def test_a_failure_outside_of_the_computation_is_tried_again(bench, make, faults, point: str) -> None:
    faults(f"{point}:fail:1:1")
    assert bench.run(make.attack(bench.model())).state is State.SUCCEEDED
    causes = [event.payload.get("cause") for event in bench.store.events("job", 0, 1000) if event.type == "unit"]
    lost = [cause for cause in causes if cause]
    assert lost == ([f"raised OSError: a fault was asked for at {point}"] if point == "worker.claimed" else [])


def test_a_failure_within_the_computation_is_the_job_s_and_says_so(bench, make, faults) -> None:
    faults("worker.put:fail:1:1")
    reason, message = bench.failure(make.attack(bench.model()))
    assert (reason, "worker.put" in message) == ("INTERNAL_ERROR", True)
