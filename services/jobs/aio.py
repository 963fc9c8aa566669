"""The jobs in Redis, for asyncio: method for method what `store.JobStore` is for threads."""

# ruff: noqa: D102 - the methods are described in `JobStore`

from __future__ import annotations

import builtins
import logging
import uuid
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from services.connection import AsyncRedis, MemoryGauge, translated, unless_error
from services.errors import Unavailable
from services.jobs import calls, functions, registry_calls, unit_calls
from services.jobs.record import (
    Event,
    JobRecord,
    Lease,
    NewJob,
    Page,
    QueuePosition,
    Quota,
    Reaped,
    Registration,
    UnitResult,
    Usage,
    Verdict,
    WorkerRecord,
)
from services.jobs.states import State
from services.settings import StoreSettings

T = TypeVar("T")
logger = logging.getLogger(__name__)


class AsyncJobStore:
    """The store for asyncio; see `JobStore`."""

    def __init__(self, redis: AsyncRedis, settings: StoreSettings | None = None) -> None:
        self._redis = redis
        self._settings = StoreSettings() if settings is None else settings
        self._gauge = MemoryGauge(self._settings)
        self._artifact_ttl_ms = round(self._settings.artifact_ttl_s * 1000)

    async def _run(self, call: calls.Call[T]) -> T:
        with translated():
            reply = await self._redis.execute_command(*call.command)  # type: ignore[no-untyped-call]
        return call.parse(reply)

    # The functions themselves

    async def load_functions(self) -> None:
        held = await self.loaded_version()
        if functions.needs_loading(held):
            await self._run(registry_calls.load(functions.library()))
        elif held != functions.version():
            logger.warning(functions.TOO_OLD, held, functions.version())

    async def loaded_version(self) -> str | None:
        try:
            return await self._run(registry_calls.version())
        except Unavailable as error:
            if error.reason == "FUNCTIONS_MISSING":
                return None
            raise

    # What clients ask for

    async def submit(self, job: NewJob, registration: Registration | None = None) -> JobRecord:
        await self._admit()
        return await self._run(calls.submit(job, registration, self._artifact_ttl_ms))

    async def submit_and_place(self, job: NewJob) -> tuple[JobRecord, QueuePosition]:
        """`submit`, and the `position` that the job has then, in one round trip."""
        await self._admit()
        submit, position = calls.submit(job, None, self._artifact_ttl_ms), calls.position(job.id)
        with translated():
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.execute_command(*submit.command)
                pipeline.execute_command(*position.command)
                submitted, placed = unless_error(await pipeline.execute(raise_on_error=False))
        return submit.parse(submitted), position.parse(placed)

    async def same(self, job: NewJob) -> JobRecord | None:
        return await self._run(calls.same(job))

    async def making(self, tenant: str, model_id: str) -> str | None:
        return await self._run(calls.making(tenant, model_id))

    async def _admit(self) -> None:
        """Refuse new work where the store is too full for it; asks at most once a second."""
        if self._gauge.due():
            with translated():
                self._gauge.note(await self._redis.info("memory"))
        self._gauge.admit()

    async def get(self, tenant: str, job_id: str) -> JobRecord:
        return await self._run(calls.get(tenant, job_id))

    async def list(
        self,
        tenant: str,
        *,
        before: int = 0,
        limit: int = 100,
        states: Collection[State] | None = None,
        kinds: Collection[str] | None = None,
        earliest_ms: int = 0,
        latest_ms: int | None = None,
    ) -> Page[JobRecord]:
        return await self._run(
            calls.list_jobs(
                tenant,
                before=before,
                limit=limit,
                states=states,
                kinds=kinds,
                earliest_ms=earliest_ms,
                latest_ms=latest_ms,
            )
        )

    async def cancel(self, tenant: str, job_id: str, etag: str = "") -> JobRecord:
        return await self._run(calls.cancel(tenant, job_id, etag))

    async def retry(self, tenant: str, job_id: str) -> JobRecord:
        return await self._run(calls.retry(tenant, job_id, uuid.uuid4().hex))

    async def delete(self, tenant: str, job_id: str, etag: str = "") -> None:
        await self._run(calls.delete(tenant, job_id, etag, uuid.uuid4().hex))

    async def unit_results(self, tenant: str, job_id: str) -> builtins.list[UnitResult]:
        return await self._run(calls.unit_results(tenant, job_id))

    async def events(self, job_id: str, after: int, limit: int) -> builtins.list[Event]:
        return await self._run(calls.events(job_id, after, limit))

    async def position(self, record: JobRecord) -> QueuePosition:
        return await self._run(calls.position(record.id))

    # What workers do

    async def claim(
        self, claim_id: str, worker: str, lane: str, lease_ms: int, *, device_class: str = "", memory_bytes: int = 0
    ) -> Lease | None:
        return await self._run(
            unit_calls.claim(claim_id, worker, lane, lease_ms, device_class=device_class, memory_bytes=memory_bytes)
        )

    async def renew(
        self,
        lease: Lease,
        worker: str,  # noqa: ARG002 - the token says who it is
        lease_ms: int,
        *,
        progress: Mapping[str, Any] | None = None,
        checkpoint: str | None = None,
    ) -> Verdict:
        return await self._run(unit_calls.renew(lease, lease_ms, progress, checkpoint))

    async def metric(self, lease: Lease, name: str, value: float, step: int) -> None:
        await self._run(unit_calls.metric(lease, name, value, step))

    async def commit(self, lease: Lease, worker: str, digest: str, stats: Mapping[str, Any]) -> bool:
        return await self._run(unit_calls.commit(lease, worker, digest, stats))

    async def finish(self, lease: Lease, worker: str, result: bytes, registration: Registration | None) -> str:
        return await self._run(unit_calls.finish(lease, worker, result, registration, self._artifact_ttl_ms))

    async def fail(self, lease: Lease, worker: str, error: bytes, registration: Registration | None = None) -> str:
        return await self._run(unit_calls.fail(lease, worker, error, registration, self._artifact_ttl_ms))

    async def lose(self, job_id: str, unit: int, token: int, cause: str) -> bool:
        return await self._run(unit_calls.lose(job_id, unit, token, cause))

    async def release(self, lease: Lease, worker: str) -> None:
        await self._run(unit_calls.release(lease, worker))

    async def stopped(self, lease: Lease, worker: str) -> None:
        await self._run(unit_calls.stopped(lease, worker))

    # Names

    async def register(self, tenant: str, registration: Registration, owner: str = "") -> str:
        return await self._run(registry_calls.register(tenant, registration, owner, self._artifact_ttl_ms))

    async def lookup(self, tenant: str, kind: str, name: str) -> bytes:
        return await self._run(registry_calls.lookup(tenant, kind, name))

    async def registered(self, tenant: str, kind: str, cursor: int = 0, limit: int = 100) -> Page[bytes]:
        return await self._run(registry_calls.registered(tenant, kind, cursor, limit))

    async def unregister(self, tenant: str, kind: str, name: str) -> None:
        await self._run(registry_calls.unregister(tenant, kind, name, uuid.uuid4().hex, self._artifact_ttl_ms))

    async def announce_mount(self, record: bytes, name: str) -> None:
        await self._run(registry_calls.announce_mount(record, name))

    async def mounts(self) -> builtins.list[bytes]:
        return await self._run(registry_calls.mounts())

    # Tenants

    async def set_quota(self, tenant: str, quota: Quota) -> None:
        await self._run(registry_calls.set_quota(tenant, quota))

    async def quota(self, tenant: str) -> Quota:
        return await self._run(registry_calls.quota(tenant))

    async def usage(self, tenant: str) -> Usage:
        return await self._run(registry_calls.usage(tenant))

    async def audit(self, tenant: str, entry: bytes) -> None:
        await self._run(registry_calls.audit(tenant, uuid.uuid4().hex, entry))

    async def audit_entries(self, tenant: str, before: int = 0, limit: int = 100) -> Page[bytes]:
        return await self._run(registry_calls.audit_entries(tenant, before, limit))

    # Workers and housekeeping

    async def announce(self, worker: WorkerRecord, ttl_s: float) -> None:
        await self._run(registry_calls.announce(worker, round(ttl_s * 1000)))

    async def forget_worker(self, worker_id: str) -> None:
        await self._run(registry_calls.forget_worker(worker_id))

    async def workers(self) -> builtins.list[WorkerRecord]:
        return await self._run(registry_calls.workers())

    async def ready_units(self, tenant: str) -> int:
        return await self._run(registry_calls.ready_units(tenant))

    async def reap(self, limit: int = 100) -> Reaped:
        return await self._run(registry_calls.reap(limit))

    async def expire(self, limit: int = 100) -> int:
        return await self._run(registry_calls.expire(limit, round(self._settings.event_ttl_s * 1000)))

    async def ring(self, lane: str) -> int:
        return await self._run(registry_calls.ring(lane))
