"""A store with jobs in it, workers that are threads, and computations that are only functions."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.errors import Unavailable
from services.jobs.record import Kind, Lease, NewJob, WorkerRecord
from services.jobs.states import State
from services.jobs.store import JobStore
from workers.failures import Interrupted
from workers.lease import (
    Committed,
    Drain,
    Finished,
    Heartbeat,
    Limits,
    Outcome,
    Presence,
    Worker,
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

    def causes(self, name: str = "job") -> list[str]:
        """Why units were lost."""
        events = self.store.events(name, 0, 1000)
        return [event.payload["cause"] for event in events if event.payload.get("kind") == "lost"]

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


@pytest.fixture
def lab() -> SimpleNamespace:
    """Computations, limits that are short, and patience."""
    return SimpleNamespace(QUICK=QUICK, done=done, ticking=ticking, wait_for=wait_for)
