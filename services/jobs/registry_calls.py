"""The calls that concern names, workers and housekeeping: see `calls`."""

# ruff: noqa: D103 - each function builds the call of the method of `JobStore` that has its name, and is described there

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from services.errors import AlreadyExists, NotFound
from services.jobs import parsing, quotas
from services.jobs.calls import Call, function, key, registration_fields
from services.jobs.needs import BYTES_PER_GIB
from services.jobs.record import Page, Quota, Reaped, Registration, Usage, WorkerRecord


def _nothing(_: Any) -> None:
    return None


def register(tenant: str, registration: Registration, owner: str, artifact_ttl_ms: int) -> Call[str]:
    def parse(reply: Sequence[bytes]) -> str:
        if reply[0] == b"TAKEN":
            raise AlreadyExists(f"another {registration.kind} is named {registration.id!r}; choose another name")
        return reply[1].decode()

    return function("register", tenant, owner, *registration_fields(registration, artifact_ttl_ms), parse=parse)


def lookup(tenant: str, kind: str, name: str) -> Call[bytes]:
    def parse(reply: bytes | None) -> bytes:
        if reply is None:
            raise _no_entry(kind, name)
        return reply

    return Call(("HGET", key(f"reg:{tenant}:{kind}:record"), name), parse)


def registered(tenant: str, kind: str, cursor: int, limit: int) -> Call[Page[bytes]]:
    return function(
        "registered", tenant, kind, cursor, limit, parse=lambda reply: Page(reply[1], int(reply[0])), reads=True
    )


def unregister(tenant: str, kind: str, name: str, operation: str, artifact_ttl_ms: int) -> Call[None]:
    def parse(reply: Sequence[bytes]) -> None:
        if reply[0] == b"NOT_FOUND":
            raise _no_entry(kind, name)

    return function("unregister", tenant, kind, name, operation, artifact_ttl_ms, parse=parse)


def _no_entry(kind: str, name: str) -> NotFound:
    return NotFound(kind.capitalize(), f"{kind}s/{name}")


def announce_mount(record: bytes, name: str) -> Call[None]:
    return Call(("HSET", key("mounts"), name, record), _nothing)


def mounts() -> Call[list[bytes]]:
    return Call(("HGETALL", key("mounts")), lambda reply: [reply[name] for name in sorted(reply)])


def announce(worker: WorkerRecord, ttl_ms: int) -> Call[None]:
    busy = "0" if worker.unit is None else "1"
    what = (worker.id, worker.lane, json.dumps(asdict(worker)), busy, ttl_ms)
    gib = worker.memory_bytes // BYTES_PER_GIB
    return function("announce", *what, worker.device_class, gib, parse=_nothing)


def forget_worker(worker_id: str) -> Call[None]:
    return function("forget_worker", worker_id, parse=_nothing)


def workers() -> Call[list[WorkerRecord]]:
    return function("workers", parse=lambda reply: [parsing.worker(text) for text in reply])


def ready_units(tenant: str) -> Call[int]:
    return function("ready", tenant, parse=int, reads=True)


def reap(limit: int) -> Call[Reaped]:
    return function("reap", limit, parse=lambda reply: Reaped(leases=reply[0], overdue_jobs=reply[1]))


def expire(limit: int, kept_ms: int) -> Call[int]:
    return function("expire", limit, kept_ms, parse=int)


def ring(lane: str) -> Call[int]:
    return function("ring", lane, parse=int)


def version() -> Call[str]:
    return Call(("FCALL_RO", "sparring_version", 1, key("fence")), lambda reply: str(reply.decode()))


def set_quota(tenant: str, quota: Quota) -> Call[None]:
    return Call(("HSET", key(f"tenant:{tenant}"), *quotas.quota_fields(quota)), _nothing)


def quota(tenant: str) -> Call[Quota]:
    return function("usage", tenant, parse=lambda reply: quotas.quota(_pairs(reply[0])), reads=True)


def usage(tenant: str) -> Call[Usage]:
    return function("usage", tenant, parse=lambda reply: quotas.usage(_pairs(reply[0]), reply[1]), reads=True)


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def audit(tenant: str, operation: str, entry: bytes) -> Call[None]:
    return function("audit", tenant, operation, entry, parse=_nothing)


def audit_entries(tenant: str, before: int, limit: int) -> Call[Page[bytes]]:
    def parse(reply: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> Page[bytes]:
        more = len(reply) > limit
        cursor = int(reply[limit - 1][0].partition(b"-")[0]) if more else 0
        return Page((fields[b"e"] for _, fields in reply[:limit]), cursor)

    latest = f"{before - 1}-0" if before > 0 else "+"
    return Call(("XREVRANGE", key(f"audit:{tenant}"), latest, "-", "COUNT", limit + 1), parse)


def load(code: str) -> Call[None]:
    return Call(("FUNCTION", "LOAD", "REPLACE", code), _nothing)
