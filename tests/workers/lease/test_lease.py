"""The claim loop and its heartbeat, against a real Valkey and computations that are only functions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from services.errors import ResourceExhausted, Unavailable
from services.jobs.record import Kind, Lease, NewJob, Registration, WorkerRecord
from services.jobs.states import State
from services.jobs.store import JobStore
from workers.failures import Interrupted
from workers.lease import (
    Cancelled,
    Committed,
    Drain,
    Draining,
    Failed,
    Finished,
    Heartbeat,
    LeaseLost,
    Limits,
    Outcome,
    Presence,
    Worker,
    status,
)

QUICK = Limits(lease_s=2.0, renew_s=0.05, stall_s=30.0, drain_s=0.6, abandon_s=0.3, retry_s=0.02)
Run = Callable[[Lease, Heartbeat], Outcome]


class Bench:
    """A store with jobs in it, and workers that are threads."""

    def __init__(self, store: JobStore, folder: Path) -> None:
        self.store, self.drain = store, Drain(folder / "drain")

    def submit(self, name: str = "job", units: int = 2, kind: Kind = "attack") -> None:
        self.store.submit(NewJob(id=name, kind=kind, spec=b"", spec_hash=name, units=units))

    def worker(self, run: Run, *, limits: Limits = QUICK, store: JobStore | None = None, name: str = "w") -> Worker:
        record = WorkerRecord(id=name, lane="cpu", device_name="test", unit=None, last_seen_ms=0)
        used = self.store if store is None else store
        return Worker(store=used, presence=Presence(used, record), drain=self.drain, run=run, limits=limits)

    def state(self, name: str = "job") -> State:
        return self.store.get("default", name).state

    def kinds(self, name: str = "job") -> list[tuple[int, str]]:
        events = self.store.events(name, 0, 1000)
        return [(event.payload["unit"], event.payload["kind"]) for event in events if event.type == "unit"]

    def attempts(self, name: str = "job") -> list[int]:
        events = self.store.events(name, 0, 1000)
        return [event.payload["attempt"] for event in events if event.payload.get("kind") == "claimed"]


@pytest.fixture
def bench(job_store: JobStore, tmp_path: Path) -> Bench:
    return Bench(job_store, tmp_path)


def done(lease: Lease, _: Heartbeat) -> Outcome:
    """A computation that is done at once."""
    return Finished(b"result") if lease.closing else Committed(f"digest-{lease.unit}", {"seconds": {}})


def ticking(seconds: float, seen: list[type[Interrupted]] | None = None) -> Run:
    """A computation that ticks for so long, and notes what stopped it."""

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        begun = time.monotonic()
        try:
            while (spent := time.monotonic() - begun) < seconds:
                heartbeat.tick(spent / seconds, "at it")
                time.sleep(0.005)
        except Interrupted as stop:
            if seen is not None:
                seen.append(type(stop))
            raise
        return done(lease, heartbeat)

    return run


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)


def test_a_worker_takes_one_unit_after_the_other_until_nothing_is_left(bench: Bench) -> None:
    bench.submit(units=3)
    assert bench.worker(done).serve() == 4
    assert bench.state() is State.SUCCEEDED
    assert bench.store.get("default", "job").result == b"result"
    assert [result.digest for result in bench.store.unit_results("default", "job")] == [f"digest-{u}" for u in range(3)]
    assert bench.worker(done).serve() == 0


def test_a_long_unit_keeps_its_lease_and_tells_its_progress(bench: Bench) -> None:
    bench.submit(units=1)
    thread = threading.Thread(target=bench.worker(ticking(1.2), limits=replace(QUICK, lease_s=0.5)).serve)
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


def test_figures_arrive_in_their_order_and_before_the_result(bench: Bench) -> None:
    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        for step in range(5 * (not lease.closing)):
            heartbeat.metric("loss", 1.0 / (1 + step), step)
        return done(lease, heartbeat)

    bench.submit(units=1)
    bench.worker(run).serve()
    events = bench.store.events("job", 0, 100)
    steps = [(event.id, event.payload["step"]) for event in events if event.type == "metric"]
    assert [step for _, step in steps] == [0, 1, 2, 3, 4]
    assert steps[-1][0] < next(event.id for event in events if event.payload.get("kind") == "committed")


def test_a_cancel_stops_the_computation_within_a_renewal(bench: Bench) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []
    thread = threading.Thread(target=bench.worker(ticking(30, seen)).serve)
    thread.start()
    wait_for(lambda: bench.kinds() != [])
    asked = time.monotonic()
    bench.store.cancel("default", "job")
    thread.join(5)
    assert time.monotonic() - asked < 1.0
    assert seen == [Cancelled]
    assert bench.state() is State.CANCELLED


def test_a_unit_that_ends_soon_is_finished_before_the_shutdown(bench: Bench) -> None:
    bench.submit(units=2)

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        bench.drain.request()
        return ticking(0.3)(lease, heartbeat)

    assert bench.worker(run).serve() == 1
    assert bench.kinds() == [(0, "claimed"), (0, "committed")]


def test_a_unit_that_would_take_too_long_is_given_back_uncharged(bench: Bench) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        bench.drain.request()
        return ticking(30, seen)(lease, heartbeat)

    begun = time.monotonic()
    assert bench.worker(run).serve() == 1
    assert time.monotonic() - begun < 1.5
    assert seen == [Draining]
    assert bench.kinds() == [(0, "claimed"), (0, "released")]
    bench.drain.clear()
    bench.worker(done, name="other").serve()
    assert bench.state() is State.SUCCEEDED
    assert bench.attempts() == [1, 1, 1]


def test_a_training_goes_on_to_its_next_checkpoint_before_it_is_given_back(bench: Bench) -> None:
    bench.submit(units=1, kind="training")
    kept: list[float] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        bench.drain.request()
        begun = time.monotonic()
        while True:
            heartbeat.tick(0.001 * (time.monotonic() - begun))
            time.sleep(0.005)
            if time.monotonic() - begun > 0.3:
                kept.append(time.monotonic() - begun)
                heartbeat.keep_checkpoint("digest")

    assert bench.worker(run).serve() == 1
    assert len(kept) == 1
    assert bench.kinds() == [(0, "claimed"), (0, "released")]
    bench.drain.clear()
    lease = bench.store.claim("c", "w", "cpu", 1000)
    assert lease is not None
    assert lease.checkpoint == "digest"


def test_nothing_is_claimed_during_a_shutdown(bench: Bench) -> None:
    bench.submit()
    bench.drain.request()
    assert bench.worker(done).serve() == 0
    assert bench.kinds() == []


def test_a_worker_whose_lease_was_given_to_another_writes_nothing(bench: Bench) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        bench.store.release(lease, "w")
        assert bench.worker(done, name="other").serve() == 2
        return ticking(30, seen)(lease, heartbeat)

    assert bench.worker(run).serve() == 1
    assert seen == [LeaseLost]
    assert bench.kinds()[:2] == [(0, "claimed"), (0, "released")]
    assert bench.kinds()[2:] == [(0, "claimed"), (0, "committed"), (1, "claimed"), (1, "committed")]


def test_a_stale_token_can_not_commit(bench: Bench) -> None:
    bench.submit(units=1)

    def run(lease: Lease, _: Heartbeat) -> Outcome:
        bench.store.release(lease, "w")
        assert bench.worker(done, name="other").serve() == 2
        return Committed("something else")

    assert bench.worker(run).serve() == 1
    assert bench.state() is State.SUCCEEDED
    assert [result.digest for result in bench.store.unit_results("default", "job")] == ["digest-0"]


def test_a_computation_that_hangs_is_not_kept_alive_and_its_process_leaves(bench: Bench) -> None:
    bench.submit(units=1)
    lease = bench.store.claim("c", "w", "cpu", 300)
    assert lease is not None
    limits = replace(QUICK, lease_s=0.3, stall_s=0.2)
    left: list[int] = []
    heartbeat = Heartbeat(bench.store, lease, "w", limits=limits, drain=bench.drain, leave=left.append)
    with heartbeat:
        time.sleep(0.7)
        assert bench.store.reap() == 1
        wait_for(lambda: left != [])
        with pytest.raises(LeaseLost):
            heartbeat.tick(0.5)
    assert left[0] == 75
    assert bench.kinds() == [(0, "claimed"), (0, "lost")]


def test_a_hanging_unit_is_given_back_at_a_shutdown(bench: Bench) -> None:
    bench.submit(units=1)
    lease = bench.store.claim("c", "w", "cpu", 5000)
    assert lease is not None
    left: list[int] = []
    limits = replace(QUICK, drain_s=0.1)
    with Heartbeat(bench.store, lease, "w", limits=limits, drain=bench.drain, leave=left.append):
        bench.drain.request()
        wait_for(lambda: left != [])
    assert bench.kinds() == [(0, "claimed"), (0, "released")]


class Flaky(JobStore):
    """A store that can be told to be away."""

    away: Callable[[], bool] = staticmethod(lambda: False)
    error: Exception = Unavailable("away")

    def _run(self, call):
        if self.away():
            raise self.error
        return super()._run(call)


@pytest.fixture
def flaky(job_store: JobStore, redis) -> Flaky:
    return Flaky(redis)


def test_an_outage_shorter_than_the_lease_costs_nothing(bench: Bench, flaky: Flaky) -> None:
    bench.submit(units=1)

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        until = time.monotonic() + 0.5
        flaky.away = lambda: time.monotonic() < until
        return ticking(0.2)(lease, heartbeat)

    assert bench.worker(run, store=flaky).serve() == 2
    assert bench.state() is State.SUCCEEDED
    assert bench.attempts() == [1, 1]


def test_an_outage_longer_than_the_lease_ends_the_computation(bench: Bench, flaky: Flaky) -> None:
    bench.submit(units=1)
    seen: list[type[Interrupted]] = []

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        flaky.away = lambda: not seen
        return ticking(30, seen)(lease, heartbeat)

    begun = time.monotonic()
    assert bench.worker(run, store=flaky, limits=replace(QUICK, lease_s=0.4)).serve() == 1
    assert time.monotonic() - begun < 2
    assert seen == [LeaseLost]
    wait_for(lambda: bench.store.reap() == 1)
    assert bench.worker(done, name="other").serve() == 2
    assert bench.state() is State.SUCCEEDED


def test_a_full_store_is_waited_for_but_not_for_ever(bench: Bench, flaky: Flaky) -> None:
    bench.submit(units=1)
    flaky.error = ResourceExhausted("full")

    def run(lease: Lease, heartbeat: Heartbeat) -> Outcome:
        flaky.away = lambda: True
        try:
            heartbeat.insist(lambda: flaky.get("default", "job"))
        except ResourceExhausted as error:
            flaky.away = lambda: False
            return Failed(status(error.reason, error.message).SerializeToString())
        return done(lease, heartbeat)

    bench.worker(run, store=flaky, limits=replace(QUICK, full_s=0.2)).serve()
    assert bench.state() is State.FAILED


def test_a_failure_ends_the_job_with_its_reason(bench: Bench) -> None:
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
def test_a_name_that_is_taken_gives_way_to_another_one(
    bench: Bench, outcome: Finished, state: State, result: bytes
) -> None:
    for name in ("taken", "taken too"):
        bench.store.register("default", Registration(kind="model", id=name, record=b"theirs"), "somebody")
    bench.submit(units=1)
    bench.worker(lambda lease, _: outcome if lease.closing else Committed("d")).serve()
    record = bench.store.get("default", "job")
    assert (record.state, record.result) == (state, result)
    assert bench.store.lookup("default", "model", "taken") == b"theirs"


def test_presence_is_told_and_withdrawn(bench: Bench, tmp_path: Path) -> None:
    record = WorkerRecord(id="w", lane="cpu", device_name="abacus", unit=None, last_seen_ms=0, versions={"torch": "2"})
    presence = Presence(bench.store, record, tmp_path / "alive")
    presence.start()
    wait_for(lambda: [worker.device_name for worker in bench.store.workers()] == ["abacus"])
    assert (tmp_path / "alive").exists()
    presence.holds("job/0")
    wait_for(lambda: [worker.unit for worker in bench.store.workers()] == ["job/0"])
    presence.stop()
    assert bench.store.workers() == []
