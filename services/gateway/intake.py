"""What models and datasets share on their way in: the record and the job that checks it are made in one step.

The record is CHECKING and owned by its job, which turns it READY or REJECTED. A gateway that dies half-way leaves
neither, and the same request again finds what the first one made.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable
from typing import Literal, TypeVar

from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2

from services.errors import AlreadyExists, FailedPrecondition, NotFound
from services.gateway.registry import Registry
from services.jobs.record import NewJob, Registration
from services.telemetry import tracing

Resource = TypeVar("Resource", models_pb2.Model, datasets_pb2.Dataset)

log = logging.getLogger(__name__)


def new_job_id() -> str:
    """Return an id for a job that nobody asked for by a request_id."""
    return secrets.token_hex(10)


async def known(
    registry: Registry, tenant: str, kind: type[Resource], identifier: str, same: Callable[[Resource], bool]
) -> Resource | None:
    """Return what is registered under an id if it is the same, None where the id is free; AlreadyExists otherwise."""
    word = _word(kind)
    try:
        found = kind.FromString(await registry.store.lookup(tenant, word, identifier))
    except NotFound:
        return None
    if not same(found):
        raise AlreadyExists(f"there is another {word} {identifier!r}; choose another id or delete that one")
    return await registry.checked(tenant, found)


async def admit(
    registry: Registry,
    tenant: str,
    resource: Resource,
    spec: jobs_pb2.IntakeSpec,
    pins: tuple[str, ...],
    *,
    same: Callable[[Resource], bool],
) -> Resource:
    """Register a resource, which is CHECKING, together with the job that checks it; `job` of it names that job."""
    kind = type(resource)
    identifier = resource.name.rpartition("/")[2]
    job = jobs_pb2.Job(intake=spec, display_name=f"check of {resource.name}").SerializeToString(deterministic=True)
    new = NewJob(
        id=resource.job.removeprefix("jobs/"),
        tenant=tenant,
        kind="intake",
        spec=job,
        spec_hash=hashlib.sha256(job).hexdigest(),
        units=1,
        display_name=f"check of {resource.name}",
        trace=tracing.carried(),
    )
    record = resource.SerializeToString(deterministic=True)
    try:
        await registry.store.submit(new, Registration(kind=_word(kind), id=identifier, record=record, pins=pins))
    except AlreadyExists:
        # Somebody was faster since we looked.
        faster = await known(registry, tenant, kind, identifier, same)
        if faster is None:
            raise
        return faster
    return resource


async def forget(registry: Registry, tenant: str, resource: Resource) -> None:
    """Unregister a resource; a check that still runs is called off, so that it does not bring the resource back."""
    word = _word(type(resource))
    if resource.state == type(resource).STATE_CHECKING:
        try:
            await registry.store.cancel(tenant, resource.job.removeprefix("jobs/"))
        except (NotFound, FailedPrecondition) as error:
            log.info("the check of %s is over already: %s", resource.name, error.message)
    await registry.store.unregister(tenant, word, resource.name.rpartition("/")[2])


def _word(kind: type[models_pb2.Model | datasets_pb2.Dataset]) -> Literal["model", "dataset"]:
    return "model" if kind is models_pb2.Model else "dataset"
