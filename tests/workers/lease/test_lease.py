"""The claim loop and its heartbeat, against a real Valkey and computations that are only functions."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from services.jobs.record import Lease, Registration, WorkerRecord
from services.jobs.states import State
from workers.failures import Interrupted
from workers.lease import Cancelled, Committed, Failed, Finished, Heartbeat, LeaseLost, Outcome, Presence, status


def test_a_worker_takes_one_unit_after_the_other_until_nothing_is_left(bench, lab) -> None:
    bench.submit(units=3)
    assert bench.worker(lab.done).serve() == 4
    assert bench.state() is State.SUCCEEDED
    assert bench.store.get("default", "job").result == b"result"
    assert [result.digest for result in bench.store.unit_results("default", "job")] == [f"digest-{u}" for u in range(3)]
    assert bench.worker(lab.done).serve() == 0


def test_a_long_unit_keeps_its_lease_and_tells_its_progress(bench, lab) -> None:
    bench.submit(units=1)
    thread = threading.Thread(target=bench.worker(lab.ticking(1.2), limits=replace(lab.QUICK, lease_s=0.5)).serve)
    thread.start()
    fractions = []
    while thread.is_alive():
        bench.store.reap()
        fractions.append(bench.store.get("default", "job").progress["fraction"])
        time.sleep(0.02)
    assert bench.state() is State.SUCCEEDED
    assert bench.attempts() == [1, 1]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 5


def test_figures_arrive_in_their_order_and_before_the_result(bench, lab) -> None:
    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        for step in range(5 * (not lease.closing)):
            heartbeat.metric("loss", 1.0 / (1 + step), step)
        return lab.done(lease, heartbeat)

    bench.submit(units=1)
    bench.worker(run).serve()
    events = bench.store.events("job", 0, 100)
    steps = [(event.id, event.payload["step"]) for event in events if event.type == "metric"]
    assert [step for _, step in steps] == [0, 1, 2, 3, 4]
    assert steps[-1][0] < next(event.id for event in events if event.payload.get("kind") == "committed")


def test_a_cancel_stops_the_computation_within_a_renewal(bench, lab) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []
    thread = threading.Thread(target=bench.worker(lab.ticking(30, seen)).serve)
    thread.start()
    lab.wait_for(lambda: bench.kinds() != [])
    asked = time.monotonic()
    bench.store.cancel("default", "job")
    thread.join(5)
    assert time.monotonic() - asked < 1.0
    assert seen == [Cancelled]
    assert bench.state() is State.CANCELLED


def test_a_worker_whose_lease_was_given_to_another_writes_nothing(bench, lab) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        bench.store.release(lease, "w")
        assert bench.worker(lab.done, name="other").serve() == 2
        return lab.ticking(30, seen)(lease, heartbeat)

    assert bench.worker(run).serve() == 1
    assert seen == [LeaseLost]
    assert bench.kinds()[:2] == [(0, "claimed"), (0, "released")]
    assert bench.kinds()[2:] == [(0, "claimed"), (0, "committed"), (1, "claimed"), (1, "committed")]


def test_a_stale_token_can_not_commit(bench, lab) -> None:
    bench.submit(units=1)

    def run(lease: Lease, _: Heartbeat) -> Outcome:
        bench.store.release(lease, "w")
        assert bench.worker(lab.done, name="other").serve() == 2
        return Committed("something else")

    assert bench.worker(run).serve() == 1
    assert bench.state() is State.SUCCEEDED
    assert [result.digest for result in bench.store.unit_results("default", "job")] == ["digest-0"]


def test_a_failure_ends_the_job_with_its_reason(bench) -> None:
    bench.submit(units=3)
    error = status("NOT_FINITE", "the weights hold NaN; train again")
    bench.worker(lambda *_: Failed(error.SerializeToString())).serve()
    record = bench.store.get("default", "job")
    assert record.state is State.FAILED
    kept = Status.FromString(record.error)
    info = ErrorInfo()
    assert kept.details[0].Unpack(info)
    assert (kept.message, info.reason, info.domain) == ("the weights hold NaN; train again", "NOT_FINITE", "sparring")


def finished(name: str, otherwise: Finished | None = None) -> Finished:
    return Finished(name.encode(), Registration(kind="model", id=name, record=b"ours"), otherwise)


@pytest.mark.parametrize(
    ("outcome", "state", "result"),
    [
        (finished("taken", finished("free")), State.SUCCEEDED, b"free"),
        (finished("free", finished("taken")), State.SUCCEEDED, b"free"),
        (finished("taken"), State.FAILED, b""),
        (finished("taken", finished("taken too")), State.FAILED, b""),
    ],
)
def test_a_name_that_is_taken_gives_way_to_another_one(bench, outcome: Finished, state: State, result: bytes) -> None:
    for name in ("taken", "taken too"):
        bench.store.register("default", Registration(kind="model", id=name, record=b"theirs"), "somebody")
    bench.submit(units=1)
    bench.worker(lambda lease, _: outcome if lease.closing else Committed("d")).serve()
    record = bench.store.get("default", "job")
    assert (record.state, record.result) == (state, result)
    assert bench.store.lookup("default", "model", "taken") == b"theirs"


def test_presence_is_told_and_withdrawn(bench, lab, tmp_path: Path) -> None:
    record = WorkerRecord(id="w", lane="cpu", device_name="abacus", unit=None, last_seen_ms=0, versions={"torch": "2"})
    presence = Presence(bench.store, record, tmp_path / "alive")
    presence.start()
    lab.wait_for(lambda: [worker.device_name for worker in bench.store.workers()] == ["abacus"])
    assert (tmp_path / "alive").exists()
    presence.holds("job/0")
    lab.wait_for(lambda: [worker.unit for worker in bench.store.workers()] == ["job/0"])
    presence.stop()
    assert bench.store.workers() == []
