"""A real Celery worker whose child dies in every way: the store hears of it at once, and the worker goes on."""

from __future__ import annotations

import pytest
from google.rpc.status_pb2 import Status

from services.jobs.states import State

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("worker processes")]


@pytest.mark.parametrize(
    ("poison", "cause"),
    [
        ("kill", "killed by SIGKILL"),
        ("crash", "killed by SIGSEGV"),
        ("leave", "exited with status 7"),
        ("stall", "no progress for 1 s"),
        ("ask_to_exit", "raised SystemExit: enough"),
    ],
)
def test_a_death_is_told_at_once_and_the_worker_goes_on(bench, poison: str, cause: str) -> None:
    bench.submit(poison)
    assert bench.end() is State.SUCCEEDED
    assert bench.cause() == cause
    assert [unit["kind"] for unit in bench.units()] == ["claimed", "lost", *2 * ["claimed", "committed"]]


@pytest.mark.parametrize("poison", ["seize", "freeze"])
def test_a_child_whose_heartbeat_can_not_run_is_killed(start, poison: str) -> None:
    with start(lease_s=2) as bench:
        bench.submit(poison)
        assert bench.end() is State.SUCCEEDED
        assert bench.cause() == "hung for 3 s, then killed by its worker"


def test_what_always_kills_ends_in_quarantine_with_its_worker_and_signal(bench) -> None:
    bench.submit("always kill")
    bench.submit("", "innocent")
    assert bench.end() is State.QUARANTINED
    message = Status.FromString(bench.store.get("default", "job").error).message
    assert "3 times" in message
    assert "killed by SIGKILL" in message
    assert bench.units()[-1]["worker"] in message
    assert bench.end("innocent") is State.FAILED


def test_an_endless_error_ends_in_quarantine_in_few_words(bench) -> None:
    bench.submit("always fail")
    assert bench.end() is State.QUARANTINED
    assert "raised RuntimeError: xxx" in Status.FromString(bench.store.get("default", "job").error).message
    assert len(bench.store.get("default", "job").error) < 5000
    assert bench.log.stat().st_size < 1_000_000


def test_a_child_whose_device_is_lost_leaves_and_a_fresh_one_tries_the_unit_again(bench) -> None:
    bench.submit("lose_device")
    assert bench.end() is State.SUCCEEDED
    assert bench.cause() == "raised DeviceLost: AcceleratorError: CUDA error: an illegal memory access was encountered"
    first, second = (unit["worker"] for unit in bench.units() if unit["kind"] == "claimed" and unit["unit"] == 0)
    assert first != second
    assert [worker.id for worker in bench.store.workers()] == [second]


def test_a_unit_that_costs_every_child_its_device_is_put_aside_after_three(bench) -> None:
    bench.submit("always lose_device")
    assert bench.end() is State.QUARANTINED
    took = [unit["worker"] for unit in bench.units() if unit["kind"] == "claimed"]
    assert len(set(took)) == len(took) == 3
    bench.submit("none", "after")
    assert bench.end("after") is State.SUCCEEDED
