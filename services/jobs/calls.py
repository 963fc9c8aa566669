"""Every call to the store as a value: the command to send, how to read its answer. Pure, so sync and async share it.

The rules behind the calls are in `functions/*.lua`; this file names them: here what clients ask for, in `unit_calls`
what workers do, in `registry_calls` names, workers and housekeeping.
"""

# ruff: noqa: D103 - each function builds the call of the method of `JobStore` that has its name, and is described there

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from services.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Violation
from services.jobs import functions, parsing
from services.jobs.needs import Offer
from services.jobs.quotas import check_quota
from services.jobs.record import KINDS, Event, JobRecord, NewJob, Page, QueuePosition, Registration, UnitResult
from services.jobs.states import State

T = TypeVar("T")
PREFIX = "{sparring}:"
# Records that one call of `list` may look at before it answers with a short page.
LIST_SCAN = 5_000
FOREVER_MS = 1 << 53
# Ten million exa-operations; the store's sums are exact up to here.
MOST_MEGA_OPS = 10**16


@dataclass(frozen=True)
class Call(Generic[T]):
    """One command and the reader of its answer; the reader raises what `services.errors` names."""

    command: tuple[Any, ...]
    parse: Callable[[Any], T]


def function(name: str, *arguments: Any, parse: Callable[[Any], T], reads: bool = False) -> Call[T]:
    # FCALL_RO is what a replica or a read-only user may run.
    return Call(("FCALL_RO" if reads else "FCALL", functions.name(name), 1, f"{PREFIX}fence", *arguments), parse)


def key(name: str) -> str:
    """A key of the schema at the head of `functions/1_state.lua`."""
    return PREFIX + name


def submit(job: NewJob, registration: Registration | None, artifact_ttl_ms: int) -> Call[JobRecord]:
    def parse(reply: Sequence[Any]) -> JobRecord:
        check_quota(job.tenant, reply)
        if reply[0] == b"REUSED":
            raise _reused(job)
        if reply[0] == b"TAKEN":
            raise AlreadyExists(f"the name {reply[1].decode()!r} is taken; choose another one")
        if reply[0] == b"ABSENT":
            raise _no_job(reply[1].decode())
        _check_blocked(reply)
        return parsing.job(reply[1])

    what = (job.id, job.tenant, job.kind, job.lane, job.spec, job.spec_hash)
    how = (job.request_id, job.units, job.display_name, job.deadline_ms, job.queue_ms, mega_ops(job.giga_ops))
    waits = (job.makes, job.content, job.pins, " ".join(job.after), job.trace, str(job.need), len(job.models), job.rest)
    models = [part for model in job.models for part in (model.message, model.made_by, model.pin)]
    record = registration_fields(registration, artifact_ttl_ms)
    return function("submit", *what, *how, *waits, *models, *record, parse=parse)


def same(job: NewJob) -> Call[JobRecord | None]:
    def parse(reply: Sequence[Any]) -> JobRecord | None:
        if reply[0] == b"REUSED":
            raise _reused(job)
        return parsing.job(reply[1]) if reply[0] == b"OK" else None

    arguments = (job.id, job.tenant, job.request_id, job.spec_hash, job.content, job.pins)
    return function("same", *arguments, parse=parse, reads=True)


def making(tenant: str, model_id: str) -> Call[str | None]:
    command = ("ZRANGE", key(f"making:{tenant}:{model_id}"), 0, 0)
    return Call(command, lambda reply: str(reply[0].decode()) if reply else None)


def _reused(job: NewJob) -> InvalidArgument:
    field = Violation("request_id", f"{job.request_id!r} came before with another request; make a new one")
    return InvalidArgument([field], reason="REQUEST_ID_REUSED")


def _check_blocked(reply: Sequence[Any]) -> None:
    if reply[0] == b"BLOCKED":
        state = State(reply[2])
        said = "left no model" if state is State.SUCCEEDED else f"is {state.name}; retry that one first"
        name = f"jobs/{reply[1].decode()}"
        raise FailedPrecondition(
            f"{name}, which the job would wait for, {said}", reason="DEPENDENCY_FAILED", metadata={"job": name}
        )


def mega_ops(giga_ops: float) -> int:
    """Compute as the store counts it, in whole millions of operations; ValueError where it is none."""
    if not 0 <= giga_ops < math.inf:
        raise ValueError(f"the compute of a job is a number from 0 on, not {giga_ops}")
    return min(round(giga_ops * 1000), MOST_MEGA_OPS)


def registration_fields(registration: Registration | None, artifact_ttl_ms: int) -> tuple[Any, ...]:
    if registration is None:
        return ()
    other = registration.record if registration.fallback_record is None else registration.fallback_record
    fallback = "" if registration.fallback_id is None else registration.fallback_id
    pins = " ".join(registration.pins)
    return (registration.kind, registration.id, registration.record, fallback, other, pins, artifact_ttl_ms)


def get(tenant: str, job_id: str) -> Call[JobRecord]:
    def parse(reply: dict[bytes, bytes]) -> JobRecord:
        if reply.get(b"tenant") != tenant.encode():
            raise _no_job(job_id)
        return parsing.job(reply)

    return Call(("HGETALL", key(f"job:{job_id}")), parse)


def list_jobs(
    tenant: str,
    *,
    before: int,
    limit: int,
    states: Collection[State] | None,
    kinds: Collection[str] | None,
    earliest_ms: int,
    latest_ms: int | None,
) -> Call[Page[JobRecord]]:
    wanted_states = "".join(str(int(state)) for state in (State if states is None else states))
    wanted_kinds = " ".join(KINDS if kinds is None else kinds)
    latest = FOREVER_MS if latest_ms is None else latest_ms
    arguments = (tenant, before, limit, wanted_states, f" {wanted_kinds} ", earliest_ms, latest, LIST_SCAN)
    return function(
        "list",
        *arguments,
        parse=lambda reply: Page(map(parsing.job, reply[1]), int(reply[0])),
        reads=True,
    )


def cancel(tenant: str, job_id: str, etag: str) -> Call[JobRecord]:
    return function("cancel", tenant, job_id, etag, parse=_changed(tenant, job_id, "cancelled"))


def retry(tenant: str, job_id: str, operation: str) -> Call[JobRecord]:
    return function("retry", tenant, job_id, operation, parse=_changed(tenant, job_id, "retried"))


def delete(tenant: str, job_id: str, etag: str, operation: str) -> Call[None]:
    def parse(reply: Sequence[Any]) -> None:
        _check_asked(job_id, "deleted", reply)

    return function("delete", tenant, job_id, etag, operation, parse=parse)


def _changed(tenant: str, job_id: str, verb: str) -> Callable[[Any], JobRecord]:
    def parse(reply: Sequence[Any]) -> JobRecord:
        check_quota(tenant, reply)
        _check_asked(job_id, verb, reply)
        _check_blocked(reply)
        if reply[0] == b"ABSENT":
            message = f"jobs/{reply[1].decode()}, which job {job_id} waits for, is gone; ask for a new job"
            raise FailedPrecondition(message, reason="DEPENDENCY_GONE")
        return parsing.job(reply[1])

    return parse


def _check_asked(job_id: str, verb: str, reply: Sequence[Any]) -> None:
    if reply[0] == b"NOT_FOUND":
        raise _no_job(job_id)
    if reply[0] == b"ETAG":
        raise Aborted(f"job {job_id} has changed since it was read; read it again (etag {reply[1].decode()})")
    if reply[0] == b"STATE":
        raise FailedPrecondition(f"job {job_id} is {State(reply[1]).name} and can't be {verb}")
    if reply[0] == b"AWAITED":
        message = f"jobs/{reply[1].decode()} waits for job {job_id}; wait until it runs, or cancel it"
        raise FailedPrecondition(message, reason="AWAITED")


def _no_job(job_id: str) -> NotFound:
    return NotFound("Job", f"jobs/{job_id}")


def unit_results(tenant: str, job_id: str) -> Call[list[UnitResult]]:
    def parse(reply: Sequence[Any]) -> list[UnitResult]:
        _check_asked(job_id, "read", reply)
        return parsing.unit_results(reply[1], reply[2])

    return function("results", tenant, job_id, parse=parse, reads=True)


def events(job_id: str, after: int, limit: int) -> Call[list[Event]]:
    command = ("XRANGE", key(f"ev:{job_id}"), f"{after + 1}-0", "+", "COUNT", limit)
    return Call(command, lambda reply: [parsing.event(entry) for entry in reply])


def position(job_id: str) -> Call[QueuePosition]:
    return function(
        "position",
        job_id,
        parse=lambda reply: QueuePosition(
            jobs_ahead=reply[0],
            workers_listening=reply[1],
            recovering=bool(reply[2]),
            awaited=tuple(name.decode() for name in reply[3]),
            offers=tuple(
                Offer(lane=lane.decode(), device_class=device_class.decode(), memory_gib=memory_gib, workers=workers)
                for lane, device_class, memory_gib, workers in reply[4]
            ),
        ),
        reads=True,
    )
