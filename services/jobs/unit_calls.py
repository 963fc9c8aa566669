"""The calls of a worker that works on a unit: see `calls`."""

# ruff: noqa: D103 - each function builds the call of the method of `JobStore` that has its name, and is described there

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.errors import AlreadyExists, FailedPrecondition, LeaseLost
from services.jobs import parsing
from services.jobs.calls import Call, function, registration_fields
from services.jobs.needs import BYTES_PER_GIB
from services.jobs.record import Lease, Registration, Verdict

MESSAGE_LENGTH = 500
NAME_LENGTH = 100


def claim(
    claim_id: str, worker: str, lane: str, lease_ms: int, *, device_class: str, memory_bytes: int
) -> Call[Lease | None]:
    def parse(reply: Sequence[Any] | None) -> Lease | None:
        return parsing.lease(reply) if reply else None

    gib = memory_bytes // BYTES_PER_GIB
    return function("claim", claim_id, worker, lane, lease_ms, device_class, gib, parse=parse)


def renew(lease: Lease, lease_ms: int, progress: Mapping[str, Any] | None, checkpoint: str | None) -> Call[Verdict]:
    fraction, message = "", ""
    if progress is not None:
        fraction, message = repr(_fraction(progress["fraction"])), progress.get("message", "")[:MESSAGE_LENGTH]
    kept = "" if checkpoint is None else checkpoint
    arguments = (lease.job_id, lease.unit, lease.token, lease_ms, fraction, message, kept)
    return function("renew", *arguments, parse=lambda reply: Verdict(reply.decode()))


def _fraction(value: float) -> float:
    if math.isnan(value):
        raise ValueError("the fraction of a unit is not a number")
    return min(max(float(value), 0.0), 1.0)


def metric(lease: Lease, name: str, value: float, step: int) -> Call[None]:
    # JSON has no infinity: a loss that ran away is told as the largest number, or left at 0 where it is none at all.
    finite = 0.0 if math.isnan(value) else min(max(float(value), -1e308), 1e308)
    arguments = (lease.job_id, lease.unit, lease.token, name[:NAME_LENGTH], repr(finite), step)
    return function("metric", *arguments, parse=_held(lease))


def commit(lease: Lease, worker: str, digest: str, stats: Mapping[str, Any]) -> Call[bool]:
    def parse(reply: bytes) -> bool:
        _check(lease, reply)
        if reply == b"OTHER":
            raise FailedPrecondition(
                f"unit {lease.unit} of job {lease.job_id} was committed with another digest than {digest}",
                reason="UNIT_RESULT_DIFFERS",
            )
        if reply == b"CLOSING":
            raise FailedPrecondition("the closing unit ends with finish, not with commit", reason="CLOSING_UNIT")
        return reply == b"OK"

    text = json.dumps(stats, allow_nan=False, sort_keys=True)
    return function("commit", lease.job_id, lease.unit, lease.token, worker, digest, text, parse=parse)


def finish(
    lease: Lease, worker: str, result: bytes, registration: Registration | None, artifact_ttl_ms: int
) -> Call[str]:
    arguments = (lease.job_id, lease.unit, lease.token, worker, result)
    record = registration_fields(registration, artifact_ttl_ms)
    return function("finish", *arguments, *record, parse=_ended(lease))


def fail(lease: Lease, worker: str, error: bytes, registration: Registration | None, artifact_ttl_ms: int) -> Call[str]:
    arguments = (lease.job_id, lease.unit, lease.token, worker, error)
    record = registration_fields(registration, artifact_ttl_ms)
    return function("fail", *arguments, *record, parse=_ended(lease))


def release(lease: Lease, worker: str) -> Call[None]:
    return function("release", lease.job_id, lease.unit, lease.token, worker, parse=_held(lease))


def lose(job_id: str, unit: int, token: int, cause: str) -> Call[bool]:
    return function("lose", job_id, unit, token, cause[:MESSAGE_LENGTH], parse=bool)


def stopped(lease: Lease, worker: str) -> Call[None]:
    return function("stopped", lease.job_id, lease.unit, lease.token, worker, parse=_held(lease))


def _held(lease: Lease) -> Callable[[bytes], None]:
    def parse(reply: bytes) -> None:
        _check(lease, reply)
        if reply == b"STATE":
            raise FailedPrecondition(f"job {lease.job_id} is not being cancelled; release the unit instead")

    return parse


def _ended(lease: Lease) -> Callable[[Sequence[bytes]], str]:
    def parse(reply: Sequence[bytes]) -> str:
        _check(lease, reply[0])
        if reply[0] == b"NOT_CLOSING":
            raise FailedPrecondition("only the closing unit finishes a job", reason="NOT_CLOSING")
        if reply[0] == b"TAKEN":
            raise AlreadyExists(f"the name {reply[1].decode()!r} is taken by another job, and so is the other one")
        return reply[1].decode()

    return parse


def _check(lease: Lease, reply: bytes) -> None:
    if reply == b"LOST":
        raise LeaseLost(f"unit {lease.unit} of job {lease.job_id} is no longer held under token {lease.token}")
