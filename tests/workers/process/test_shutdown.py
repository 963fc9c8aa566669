"""A real Celery worker that is told to end: what it holds is given back uncharged, and it leaves with 0 in time."""

from __future__ import annotations

import signal
import time

import psutil
import pytest

from services.jobs.states import State

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("worker processes")]


@pytest.mark.parametrize("signals", [1, 2], ids=["once", "twice"])
def test_a_worker_that_is_told_to_end_gives_its_unit_back_and_withdraws(bench, signals: int) -> None:
    bench.submit("work")
    child = bench.taken()
    assert bench.store.workers() != []
    for _ in range(signals):
        bench.process.terminate()
        time.sleep(0.3)
    assert bench.status_at_end() == 0
    assert [(unit["kind"], unit["attempt"]) for unit in bench.units()] == [("claimed", 1), ("released", 1)]
    assert bench.store.workers() == []
    assert not child.is_running()
    assert list(bench.log.parent.glob("sparring-worker-*")) == []
    lease = bench.store.claim("c", "other", "cpu", 1000)
    assert lease.attempt == 1


def test_a_child_that_is_told_to_end_gives_its_unit_back_and_is_replaced(bench) -> None:
    bench.submit("work")
    child = bench.taken()
    child.terminate()
    bench.wait(lambda: len(bench.units()) >= 3)
    assert [(unit["kind"], unit["attempt"]) for unit in bench.units()][:3] == [
        ("claimed", 1),
        ("released", 1),
        ("claimed", 1),
    ]
    assert bench.units()[2]["worker"] != bench.units()[0]["worker"]
    bench.store.cancel("default", "job")
    assert bench.end() is State.CANCELLED


def test_a_whole_group_that_is_told_to_end_does_so(bench) -> None:
    bench.submit("work")
    child = bench.taken()
    for process in (child, psutil.Process(bench.process.pid)):
        process.send_signal(signal.SIGTERM)
    assert bench.status_at_end() == 0
    assert [unit["kind"] for unit in bench.units()] == ["claimed", "released"]
    assert bench.store.workers() == []


def test_an_idle_worker_ends_at_once(bench) -> None:
    bench.wait(bench.store.workers)
    begun = time.monotonic()
    bench.process.terminate()
    assert bench.status_at_end() == 0
    assert time.monotonic() - begun < 10
    assert bench.store.workers() == []


def test_a_child_that_dies_in_a_shutdown_is_told_of_too(bench) -> None:
    bench.submit("work")
    child = bench.taken()
    # Stopped, it can't give its unit back.
    child.suspend()
    bench.process.terminate()
    time.sleep(1)
    child.kill()
    assert bench.status_at_end() == 0
    assert bench.units()[-1]["kind"] == "lost"
    assert bench.cause() == "killed by SIGKILL"


@pytest.mark.parametrize("after_s", [0.3, 2.0])
def test_a_worker_that_is_told_to_end_while_it_loads_torch_does_so(start, after_s: float) -> None:
    with start("workers.app") as bench:
        bench.wait(lambda: "ready." in bench.log.read_text())
        time.sleep(after_s)
        children = bench.children()
        bench.process.terminate()
        assert bench.status_at_end() == 0
        assert psutil.wait_procs(children, timeout=5)[1] == []
        assert bench.store.workers() == []
