"""Stores of both kinds behind one face, jobs to submit, and a clock that tests move."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.connection import Redis, connect_async
from services.jobs import functions
from services.jobs.record import Lease, NewJob, Registration
from services.jobs.store import AsyncJobStore, JobStore
from services.settings import StoreSettings

LEASE_MS = 15_000
DIGEST = "d" * 64


class Blocking:
    """An asyncio store that plain code can call."""

    def __init__(self, store: AsyncJobStore, runner: asyncio.Runner) -> None:
        self._store, self._runner = store, runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)
        return lambda *positional, **named: self._runner.run(method(*positional, **named))


@pytest.fixture(params=["sync", "async"])
def store(request: pytest.FixtureRequest, job_store: JobStore, store_settings: StoreSettings) -> Iterator[Any]:
    """The job store, once for threads and once for asyncio."""
    if request.param == "sync":
        yield job_store
        return
    with asyncio.Runner() as runner:
        client = connect_async(store_settings)
        yield Blocking(AsyncJobStore(client, store_settings), runner)
        runner.run(client.aclose())


class Clock:
    """The server's time as the functions see it; it moves only when it is told to."""

    KEY = "{sparring}:test:now"

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        redis.set(self.KEY, 1_800_000_000_000)

    def advance(self, milliseconds: int) -> None:
        """Let so much time pass."""
        self._redis.incrby(self.KEY, milliseconds)

    @classmethod
    def library(cls) -> str:
        """The functions, with the one line changed that reads the time."""
        line = "return time[1] * 1000 + math.floor(time[2] / 1000)"
        code = functions.library()
        assert code.count(line) == 1
        return code.replace(line, f"return tonumber(redis.call('GET', '{cls.KEY}'))")


@pytest.fixture
def clock(redis: Redis, job_store: JobStore) -> Iterator[Clock]:
    """A clock to move."""
    redis.function_load(Clock.library(), replace=True)
    yield Clock(redis)
    redis.function_load(functions.library(), replace=True)


@dataclass
class Jobs:
    """Shorthands of a test: submits and claims with names made up in a row."""

    store: Any
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new(self, **changes: Any) -> NewJob:
        """A job to submit."""
        number = next(self.numbers)
        defaults: dict[str, Any] = {"id": f"job-{number}", "kind": "attack", "lane": "any", "units": 2}
        return NewJob(**(defaults | {"spec": b"\x00spec\xff", "spec_hash": f"hash-{number}"} | changes))

    def submit(self, **changes: Any) -> str:
        """The id of a job that was submitted."""
        return str(self.store.submit(self.new(**changes)).id)

    def claim(self, worker: str = "w1", lane: str = "cpu", lease_ms: int = LEASE_MS) -> Lease:
        """A lease; there has to be one."""
        lease = self.store.claim(f"claim-{next(self.numbers)}", worker, lane, lease_ms)
        assert lease is not None
        return lease

    def nothing_to_claim(self, lane: str = "cpu") -> bool:
        """Whether no unit is ready for a lane."""
        return self.store.claim(f"claim-{next(self.numbers)}", "w1", lane, LEASE_MS) is None

    def commit_all(self, units: int) -> None:
        """Claim and commit so many units."""
        for _ in range(units):
            lease = self.claim()
            self.store.commit(lease, "w1", DIGEST, {})

    def run(self, job_id: str, model: str | None = None) -> None:
        """Play the worker of the next job that is ready, which has to be this one, to its end."""
        while not (lease := self.claim()).closing:
            assert lease.job_id == job_id
            self.store.commit(lease, "w1", DIGEST, {})
        assert lease.job_id == job_id
        made = None if model is None else Registration(kind="model", id=model, record=b"record", pins=(DIGEST,))
        self.store.finish(lease, "w1", b"result", made)

    def happened(self, job_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Type and payload of every event of a job; checks their numbers."""
        events = self.store.events(job_id, 0, 1000)
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        return [(event.type, event.payload) for event in events]

    def states(self, job_id: str) -> list[int]:
        """The states that a job went through."""
        return [payload["state"] for kind, payload in self.happened(job_id) if kind == "state"]


@pytest.fixture
def jobs(store: Any) -> Jobs:
    """Shorthands on the store."""
    return Jobs(store)
