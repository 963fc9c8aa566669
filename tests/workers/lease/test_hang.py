"""A computation that hangs, or raises what it should not, loses its unit and keeps nobody from working."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from google.rpc.status_pb2 import Status

from services.jobs.record import Lease
from services.jobs.states import State
from workers.failures import Interrupted
from workers.lease import Drain, Draining, Heartbeat, Holding, LeaseLost, Outcome


def test_a_computation_that_hangs_is_given_up_and_its_process_leaves(bench, lab) -> None:
    bench.submit(units=1)
    lease = bench.store.claim("c", "w", "cpu", 60_000)
    left: list[int] = []
    limits = replace(lab.QUICK, lease_s=60, stall_s=0.2)
    with Heartbeat(bench.store, lease, "w", limits=limits, drain=bench.drain, leave=left.append) as heartbeat:
        lab.wait_for(lambda: bench.kinds() == [(0, "claimed"), (0, "lost")])
        assert left == []
        lab.wait_for(lambda: left != [])
        with pytest.raises(LeaseLost):
            heartbeat.tick(0.5)
    assert left[0] == 75
    assert bench.causes() == ["no progress for 0.2 s"]
    assert bench.store.claim("d", "other", "cpu", 1000).attempt == 2


def test_a_computation_that_wakes_up_late_finds_its_unit_gone(bench, lab) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        if (lease.unit, lease.attempt) == (0, 1):
            time.sleep(0.3)
        return lab.ticking(0.1, seen)(lease, heartbeat)

    assert bench.worker(run, limits=replace(lab.QUICK, stall_s=0.1, abandon_s=30)).serve() == 3
    assert seen == [LeaseLost]
    assert bench.state() is State.SUCCEEDED


def test_a_hang_without_a_store_runs_out_by_itself(bench, lab, flaky) -> None:
    bench.submit(units=1)
    lease = bench.store.claim("c", "w", "cpu", 300)
    flaky.away = lambda: True
    left: list[int] = []
    limits = replace(lab.QUICK, lease_s=0.3, stall_s=0.1)
    with Heartbeat(flaky, lease, "w", limits=limits, drain=bench.drain, leave=left.append):
        lab.wait_for(lambda: left != [])
    assert bench.store.reap() == 1
    assert bench.causes() == ["not heard of for 0.3 s"]


@pytest.mark.parametrize("error", [RuntimeError("odd"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_what_a_run_raises_costs_an_attempt_and_the_worker_goes_on(bench, lab, error: BaseException) -> None:
    bench.submit("job", units=1)
    bench.submit("next", units=1)

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        if lease.job_id == "job":
            raise error
        return lab.done(lease, heartbeat)

    assert bench.worker(run).serve() == 5
    assert bench.state() is State.QUARANTINED
    assert bench.state("next") is State.SUCCEEDED
    message = Status.FromString(bench.store.get("default", "job").error).message
    assert f"raised {type(error).__name__}" in message
    assert bench.attempts() == [1, 2, 3]


def test_a_run_that_raises_while_the_store_is_away_loses_only_time(bench, lab, flaky) -> None:
    bench.submit(units=1)

    def run(*_: object) -> Outcome:
        flaky.away = lambda: True
        raise RuntimeError("odd")

    worker = bench.worker(run, store=flaky, limits=replace(lab.QUICK, lease_s=0.3))
    with pytest.raises(type(flaky.error)):
        worker.serve()
    lab.wait_for(lambda: bench.store.reap() == 1)
    assert bench.worker(lab.done, name="other").serve() == 2
    assert bench.state() is State.SUCCEEDED


def test_the_unit_that_is_held_is_written_down_while_it_is_held(bench, lab, tmp_path) -> None:
    bench.submit(units=1)
    holding = Holding.beside(Drain(tmp_path / "drain"))
    held, touched = [], []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        held.append((holding.read(), lease))
        touched.append(holding.touched_ns())
        outcome = lab.ticking(0.3)(lease, heartbeat)
        touched.append(holding.touched_ns())
        return outcome

    worker = replace(bench.worker(run), holding=holding)
    assert worker.serve() == 2
    for note, lease in held:
        assert (note.worker, note.job_id, note.unit, note.token) == ("w", "job", lease.unit, lease.token)
    assert touched[0] < touched[1]
    assert holding.read() is None
    holding.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_file_costs_no_unit(bench, lab, tmp_path) -> None:
    bench.submit(units=1)
    worker = replace(bench.worker(lab.ticking(0.2)), holding=Holding(tmp_path / "nowhere" / "unit"))
    assert worker.serve() == 2
    assert bench.state() is State.SUCCEEDED


def test_a_child_that_is_told_by_itself_gives_its_unit_back(bench, lab) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        bench.drain.tell()
        return lab.ticking(30, seen)(lease, heartbeat)

    assert bench.worker(run).serve() == 1
    assert seen == [Draining]
