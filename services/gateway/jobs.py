"""JobService: accepts jobs, and tells what became of them."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
from sparring.v1 import jobs_pb2, jobs_pb2_grpc
from typing_extensions import override

from services.artifacts.store import AsyncArtifactStore
from services.errors import InvalidArgument, NotFound, SparringError, Violation
from services.gateway import filters, needs, render, reuse, upcoming
from services.gateway.check_references import check_name, check_references, check_weights
from services.gateway.checks import check_request
from services.gateway.finished import finished_units
from services.gateway.identity import current
from services.gateway.names import required_id
from services.gateway.paging import Pager, page_size
from services.gateway.references import References, look_up
from services.gateway.registry import Registry
from services.gateway.resolve import lane, resolve
from services.gateway.watch import Streams
from services.jobs.record import JobLane, JobRecord, Kind, NewJob, QueuePosition
from services.jobs.states import State
from services.telemetry import tracing
from services.telemetry.attributes import described

Context = grpc.aio.ServicerContext[Any, Any]

# Positions of a list's queued jobs that are asked for at a time.
_AT_ONCE = 16


class Jobs(jobs_pb2_grpc.JobServiceServicer):
    """Translates between the contract and the store."""

    def __init__(
        self,
        registry: Registry,
        artifacts: AsyncArtifactStore,
        streams: Streams,
        pager: Pager,
        *,
        max_samples: int,
        max_artifact_bytes: int,
    ) -> None:
        self._registry = registry
        self._store = registry.store
        self._artifacts = artifacts
        self._streams = streams
        self._pager = pager
        self._max_samples = max_samples
        self._max_artifact_bytes = max_artifact_bytes
        # Reads every source file, once, rather than while a client waits.
        reuse.code()

    @override
    async def CreateJob(self, request: jobs_pb2.CreateJobRequest, context: Context) -> jobs_pb2.Job:
        tenant = current().tenant
        identifier = job_id(tenant, request)
        try:
            found, violations = await self._checked(tenant, request)
            job = resolve(request, found)
            tracing.annotate(described(job))
            new = _new(tenant, identifier, request, job)
            same = await self._same(new) if request.reuse else None
            if same is None and violations:
                raise InvalidArgument(violations)
            if request.validate_only:
                return job
            if same is not None:
                return await self._shown(same)
            record, position = await self._store.submit_and_place(new)
        except SparringError:
            # What a repeated request names may be gone by now; the first answer still stands.
            earlier = await self._earlier(tenant, identifier, request)
            if earlier is None:
                raise
            return await self._shown(earlier)
        return render.job(record, position if record.state is State.QUEUED else None)

    @override
    async def GetJob(self, request: jobs_pb2.GetJobRequest, context: Context) -> jobs_pb2.Job:
        record = await self._store.get(current().tenant, required_id(request.name, "jobs"))
        job = await self._shown(record)
        job.finished_units.extend(await finished_units(self._store, self._artifacts, record, job))
        return job

    @override
    async def ListJobs(self, request: jobs_pb2.ListJobsRequest, context: Context) -> jobs_pb2.ListJobsResponse:
        wanted = filters.parse(request.filter)
        tenant = current().tenant
        scope = ("jobs", tenant, request.filter)
        cursor = self._pager.cursor(request.page_token, *scope)
        page = await self._store.list(
            tenant,
            before=int(cursor) if cursor else 0,
            limit=page_size(request.page_size),
            states=wanted.states,
            kinds=wanted.kinds,
            earliest_ms=wanted.earliest_ms,
            latest_ms=wanted.latest_ms,
        )
        jobs = []
        for start in range(0, len(page), _AT_ONCE):
            records = page[start : start + _AT_ONCE]
            positions = await asyncio.gather(*(self._position(record) for record in records))
            jobs += [render.summary(record, position) for record, position in zip(records, positions, strict=True)]
        token = self._pager.token(str(page.cursor) if page.cursor else "", *scope)
        return jobs_pb2.ListJobsResponse(jobs=jobs, next_page_token=token)

    @override
    def WatchJob(self, request: jobs_pb2.WatchJobRequest, context: Context) -> AsyncIterator[jobs_pb2.WatchJobResponse]:
        if request.after_event_id < 0:
            raise InvalidArgument([Violation("after_event_id", f"must not be negative, not {request.after_event_id}")])
        return self._streams.watch(current().tenant, required_id(request.name, "jobs"), request.after_event_id)

    @override
    async def CancelJob(self, request: jobs_pb2.CancelJobRequest, context: Context) -> jobs_pb2.Job:
        identifier = required_id(request.name, "jobs")
        return await self._shown(await self._store.cancel(current().tenant, identifier, request.etag))

    @override
    async def RetryJob(self, request: jobs_pb2.RetryJobRequest, context: Context) -> jobs_pb2.Job:
        return await self._shown(await self._store.retry(current().tenant, required_id(request.name, "jobs")))

    @override
    async def DeleteJob(self, request: jobs_pb2.DeleteJobRequest, context: Context) -> jobs_pb2.DeleteJobResponse:
        await self._store.delete(current().tenant, required_id(request.name, "jobs"), request.etag)
        return jobs_pb2.DeleteJobResponse()

    async def _checked(self, tenant: str, request: jobs_pb2.CreateJobRequest) -> tuple[References, list[Violation]]:
        """Return what the request's names stand for, or raise everything that is wrong with it at once.

        What is wrong only where a job has to be made is returned: the id of its model is taken, perhaps by the very
        training that `reuse` finds.
        """
        found = await look_up(request, self._registry, tenant)
        violations = [
            *check_request(request, max_samples=self._max_samples),
            *check_references(request, found, max_samples=self._max_samples),
            *check_weights(request, found, max_bytes=self._max_artifact_bytes),
        ]
        taken = list(check_name(request.training, found))
        if violations or (taken and not request.reuse):
            violations += taken
            absent = [Violation(path, problem.message) for path, problem in found.missing.items()]
            raise InvalidArgument([*violations, *absent])
        for problem in found.missing.values():
            raise problem
        return found, taken

    async def _same(self, new: NewJob) -> JobRecord | None:
        """Return the job that a request for reuse need not make."""
        record = await self._store.same(new)
        if record is None or record.id == new.id or await reuse.still_there(self._artifacts, record):
            return record
        return None

    async def _earlier(self, tenant: str, identifier: str, request: jobs_pb2.CreateJobRequest) -> JobRecord | None:
        """Return the job that this very request made before, if it did."""
        if not request.request_id or request.validate_only:
            return None
        try:
            return await self._store.get(tenant, identifier)
        except NotFound:
            return None

    async def _shown(self, record: JobRecord) -> jobs_pb2.Job:
        return render.job(record, await self._position(record))

    async def _position(self, record: JobRecord) -> QueuePosition | None:
        return await self._store.position(record) if record.state is State.QUEUED else None


def _new(tenant: str, identifier: str, request: jobs_pb2.CreateJobRequest, job: jobs_pb2.Job) -> NewJob:
    """Return a resolved job as the store takes it."""
    rest, models = upcoming.split(job)
    return NewJob(
        id=identifier,
        tenant=tenant,
        kind=cast("Kind", job.WhichOneof("spec")),
        lane=cast("JobLane", lane(job)),
        spec=job.SerializeToString(deterministic=True),
        spec_hash=fingerprint(tenant, request),
        request_id=request.request_id,
        units=job.resolution.units,
        display_name=request.display_name,
        deadline_ms=round(job.limits.deadline_seconds * 1000),
        queue_ms=round(job.limits.queue_seconds * 1000),
        giga_ops=job.resolution.giga_ops,
        after=tuple(name.removeprefix("jobs/") for name in job.after),
        rest=rest,
        models=models,
        makes=job.training.model_id,
        content=reuse.content(job),
        pins=upcoming.pins(job),
        trace=tracing.carried(),
        need=needs.need(job),
    )


def fingerprint(tenant: str, request: jobs_pb2.CreateJobRequest) -> str:
    """Return the SHA-256 that two requests share if they ask for the same, whatever their names stand for by then."""
    asked = jobs_pb2.CreateJobRequest()
    asked.CopyFrom(request)
    asked.ClearField("request_id")
    return hashlib.sha256(tenant.encode() + b"\0" + asked.SerializeToString(deterministic=True)).hexdigest()


def job_id(tenant: str, request: jobs_pb2.CreateJobRequest) -> str:
    """Return the id of the job that a request makes: a repeated request has the same one, any other a fresh one."""
    if not request.request_id:
        return secrets.token_hex(10)
    return hashlib.sha256(f"{fingerprint(tenant, request)} {request.request_id}".encode()).hexdigest()[:20]
