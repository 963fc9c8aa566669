"""What became of one job, as its events tell it, in plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from sparring.v1 import jobs_pb2

from services.jobs.states import State

CHANGES = {
    jobs_pb2.UnitChange.KIND_CLAIMED: "claimed",
    jobs_pb2.UnitChange.KIND_COMMITTED: "committed",
    jobs_pb2.UnitChange.KIND_RELEASED: "released",
    jobs_pb2.UnitChange.KIND_LOST: "lost",
}


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event; `state` is set for a change of state, the rest for what became of a unit."""

    number: int
    time_s: float = 0.0
    type: str = "progress"
    state: State | None = None
    unit: int | None = None
    change: str = ""
    worker: str = ""
    attempt: int = 0
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class History:
    """One accepted job: where it stands, every event of it, and what was to come of it.

    `allowed` are the ends that the run may bring about, `retries` how often RetryJob was called, `watched` the numbers
    of the events that its client saw while it ran, `tokens` those of the committed units.
    """

    job: str
    state: State
    units: int
    events: tuple[Event, ...]
    fingerprint: str = ""
    expected: str = ""
    error: str = ""
    allowed: frozenset[State] = frozenset({State.SUCCEEDED})
    retries: int = 0
    watched: tuple[int, ...] = ()
    tokens: Mapping[int, int] = field(default_factory=dict)


def event_of(message: jobs_pb2.WatchJobResponse) -> Event:
    """An event of the contract; a snapshot stands for events that are gone, and keeps its number alone."""
    kind = message.WhichOneof("event")
    event = Event(number=message.event_id, time_s=message.time.ToMicroseconds() / 1e6, type=str(kind))
    if kind == "state_change":
        return _with(event, state=State(message.state_change.state))
    if kind == "unit_change":
        change = message.unit_change
        return _with(
            event,
            unit=change.unit,
            change=CHANGES[change.kind],
            worker=change.worker,
            attempt=change.attempt,
            cause=change.cause,
        )
    return event


def _with(event: Event, **changes: object) -> Event:
    return Event(**{**event.__dict__, **changes})


def fingerprint(job: jobs_pb2.Job) -> str:
    """A digest of everything in a job's result that must not depend on who computed it, when, and how often."""
    rows = []
    for row in job.result.rows:
        kept = jobs_pb2.ResultRow()
        kept.CopyFrom(row)
        kept.ClearField("seconds")
        if job.HasField("training"):
            kept.ClearField("model")  # its name is the job's own
        rows.append(kept.SerializeToString(deterministic=True))
    files = sorted(file.artifact for file in job.result.artifacts if file.role in {"adversarial", "weights"})
    return hashlib.sha256(repr((rows, files)).encode()).hexdigest()[:16]


def worker_pid(worker: str) -> int:
    """The process id in a worker's name: host, process, a few random digits."""
    return int(worker.rsplit("-", 2)[1])
