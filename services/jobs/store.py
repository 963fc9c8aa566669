"""The jobs in Redis, for threads. `AsyncJobStore` (in `aio`, also named here) has the same methods for asyncio.

Both only send what `calls` and its neighbours build; a call is one round trip. Every method may raise Unavailable.
"""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from services.connection import translated, unless_error
from services.jobs import calls, unit_calls
from services.jobs.aio import AsyncJobStore
from services.jobs.record import (
    Event,
    JobRecord,
    Lease,
    NewJob,
    Page,
    QueuePosition,
    Registration,
    UnitResult,
    Verdict,
)
from services.jobs.states import State
from services.jobs.upkeep import Upkeep

__all__ = ["AsyncJobStore", "JobStore"]


class JobStore(Upkeep):
    """Every change of state is one Redis function, so any number of processes may use it at once."""

    # What clients ask for

    def submit(self, job: NewJob, registration: Registration | None = None) -> JobRecord:
        """Accept a job and ring for it; the same submit again answers with the same job.

        `registration` is written with it, owned by it. InvalidArgument REQUEST_ID_REUSED: the request id came with
        another spec_hash in the last 24 h. AlreadyExists: the job's or the registration's name is taken.
        ResourceExhausted: the store is too full for new work. QuotaExceeded: the tenant may not have one more.
        NotFound: a job of `after`. FailedPrecondition DEPENDENCY_FAILED: one of these did not succeed.
        """
        self._admit()
        return self._run(calls.submit(job, registration, self._artifact_ttl_ms))

    def submit_and_place(self, job: NewJob) -> tuple[JobRecord, QueuePosition]:
        """`submit`, and the `position` that the job has then, in one round trip."""
        self._admit()
        submit, position = calls.submit(job, None, self._artifact_ttl_ms), calls.position(job.id)
        with translated(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.execute_command(*submit.command)  # type: ignore[no-untyped-call]
            pipeline.execute_command(*position.command)  # type: ignore[no-untyped-call]
            submitted, placed = unless_error(pipeline.execute(raise_on_error=False))
        return submit.parse(submitted), position.parse(placed)

    def same(self, job: NewJob) -> JobRecord | None:
        """The job of this very request, or the last one of the same content and models that succeeded, if any.

        InvalidArgument REQUEST_ID_REUSED, as for `submit`.
        """
        return self._run(calls.same(job))

    def making(self, tenant: str, model_id: str) -> str | None:
        """The first training that has not ended and asks for this id for its model; None where there is none."""
        return self._run(calls.making(tenant, model_id))

    def _admit(self) -> None:
        """Refuse new work where the store is too full for it; asks at most once a second."""
        if self._gauge.due():
            with translated():
                self._gauge.note(self._redis.info("memory"))
        self._gauge.admit()

    def get(self, tenant: str, job_id: str) -> JobRecord:
        """A job as it stands. NotFound."""
        return self._run(calls.get(tenant, job_id))

    def list(
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
        """Jobs, newest first, from the cursor `before` on; times are inclusive bounds of `created_ms`.

        A page with a cursor may be short, or empty, where the filter matches little.
        """
        return self._run(
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

    def cancel(self, tenant: str, job_id: str, etag: str = "") -> JobRecord:
        """Ask for the end of a job. NotFound; FailedPrecondition: it ended otherwise; Aborted: the etag is old."""
        return self._run(calls.cancel(tenant, job_id, etag))

    def retry(self, tenant: str, job_id: str) -> JobRecord:
        """Queue a failed, cancelled or quarantined job again; committed units are kept.

        Its limits begin anew. NotFound; FailedPrecondition: it has not ended, or it succeeded, or a job that it waits
        for did not succeed (DEPENDENCY_FAILED) or is gone (DEPENDENCY_GONE); QuotaExceeded.
        """
        return self._run(calls.retry(tenant, job_id, uuid.uuid4().hex))

    def delete(self, tenant: str, job_id: str, etag: str = "") -> None:
        """Forget an ended job. NotFound; FailedPrecondition: not ended, or AWAITED; Aborted: the etag is old."""
        self._run(calls.delete(tenant, job_id, etag, uuid.uuid4().hex))

    def unit_results(self, tenant: str, job_id: str) -> builtins.list[UnitResult]:
        """What the committed units left, in the order of the units. NotFound."""
        return self._run(calls.unit_results(tenant, job_id))

    def events(self, job_id: str, after: int, limit: int) -> builtins.list[Event]:
        """At most `limit` events after number `after`; none where the job is not known."""
        return self._run(calls.events(job_id, after, limit))

    def position(self, record: JobRecord) -> QueuePosition:
        """Why a queued job waits; all zero for one that does not."""
        return self._run(calls.position(record.id))

    # What workers do

    def claim(
        self, claim_id: str, worker: str, lane: str, lease_ms: int, *, device_class: str = "", memory_bytes: int = 0
    ) -> Lease | None:
        """The next unit of the worker's lane or of `any` whose need its device meets, tenants in fair turns; or None.

        Within ten minutes the same `claim_id` answers with the same lease, so a lost answer loses no unit.
        """
        return self._run(
            unit_calls.claim(claim_id, worker, lane, lease_ms, device_class=device_class, memory_bytes=memory_bytes)
        )

    def renew(
        self,
        lease: Lease,
        worker: str,  # noqa: ARG002 - the token says who it is
        lease_ms: int,
        *,
        progress: Mapping[str, Any] | None = None,
        checkpoint: str | None = None,
    ) -> Verdict:
        """Keep a lease for `lease_ms` more; `progress` is {fraction, message}, `checkpoint` a digest to resume from."""
        return self._run(unit_calls.renew(lease, lease_ms, progress, checkpoint))

    def metric(self, lease: Lease, name: str, value: float, step: int) -> None:
        """Tell a figure. LeaseLost."""
        self._run(unit_calls.metric(lease, name, value, step))

    def commit(self, lease: Lease, worker: str, digest: str, stats: Mapping[str, Any]) -> bool:
        """Keep a unit's result; False where this lease has committed the same digest before.

        The last commit opens the closing unit. LeaseLost; FailedPrecondition: it has committed another digest.
        """
        return self._run(unit_calls.commit(lease, worker, digest, stats))

    def finish(self, lease: Lease, worker: str, result: bytes, registration: Registration | None) -> str:
        """End a job as SUCCEEDED, from its closing unit; the id that was registered, "" for none.

        Where the job is being cancelled, it counts as `stopped`. LeaseLost; AlreadyExists: no name is free.
        """
        return self._run(unit_calls.finish(lease, worker, result, registration, self._artifact_ttl_ms))

    def fail(self, lease: Lease, worker: str, error: bytes, registration: Registration | None = None) -> str:
        """End a job as FAILED, from any unit; its other leases are lost. Otherwise as `finish`."""
        return self._run(unit_calls.fail(lease, worker, error, registration, self._artifact_ttl_ms))

    def lose(self, job_id: str, unit: int, token: int, cause: str) -> bool:
        """Take a lease back at once because its worker is known to be gone; False where the token is stale.

        As for a lease that ran out, the attempt counts; `cause` is told with it, e.g. "killed by SIGKILL".
        """
        return self._run(unit_calls.lose(job_id, unit, token, cause))

    def release(self, lease: Lease, worker: str) -> None:
        """Give a unit back; the attempt is not charged. LeaseLost."""
        self._run(unit_calls.release(lease, worker))

    def stopped(self, lease: Lease, worker: str) -> None:
        """Say that work on a unit has stopped for a cancel. LeaseLost; FailedPrecondition: nobody cancelled."""
        self._run(unit_calls.stopped(lease, worker))
