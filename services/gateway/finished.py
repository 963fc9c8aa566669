"""What a job that did not succeed has to show all the same: the units that were committed, and their files."""

from __future__ import annotations

import asyncio

from sparring.v1 import jobs_pb2

from services.artifacts.store import AsyncArtifactStore
from services.errors import NotFound
from services.jobs.record import JobRecord, UnitResult
from services.jobs.states import State
from services.jobs.store import AsyncJobStore

_ENDED_OTHERWISE = frozenset({State.FAILED, State.CANCELLED, State.QUARANTINED})
# Files that are looked for at a time.
_AT_ONCE = 64


async def finished_units(
    store: AsyncJobStore, artifacts: AsyncArtifactStore, record: JobRecord, job: jobs_pb2.Job
) -> list[jobs_pb2.FinishedUnit]:
    """Return the units of an attack or an evaluation whose files are still there; none of a job that goes on."""
    if record.state not in _ENDED_OTHERWISE or record.kind not in ("attack", "evaluation"):
        return []
    committed = [result for result in await store.unit_results(record.tenant, record.id) if result.unit < record.units]
    held: list[bool] = []
    for start in range(0, len(committed), _AT_ONCE):
        some = committed[start : start + _AT_ONCE]
        held += await asyncio.gather(*(_held(artifacts, record.tenant, result.digest) for result in some))
    return [describe(job, result) for result, there in zip(committed, held, strict=True) if there]


def describe(job: jobs_pb2.Job, result: UnitResult) -> jobs_pb2.FinishedUnit:
    """Say which model and which samples a unit of a resolved job was about."""
    spec = job.attack if job.WhichOneof("spec") == "attack" else job.evaluation
    model, shard = divmod(result.unit, job.resolution.shards)
    start = shard * spec.execution.shard_size
    return jobs_pb2.FinishedUnit(
        unit=result.unit,
        model=job.resolution.models[model].name,
        offset=job.resolution.data.offset + start,
        count=min(spec.execution.shard_size, job.resolution.data.count - start),
        artifact=f"artifacts/{result.digest}",
    )


async def _held(artifacts: AsyncArtifactStore, tenant: str, digest: str) -> bool:
    try:
        await artifacts.stat(tenant, digest)
    except NotFound:
        return False
    return True
