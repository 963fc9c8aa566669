"""Models and datasets by name, as they stand: the store's records, and what the job that checks them has come to."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from google.rpc import code_pb2, status_pb2
from sparring.v1 import datasets_pb2, models_pb2

from services.errors import FailedPrecondition, NotFound
from services.gateway import catalog, render, upcoming
from services.gateway.names import did_you_mean
from services.jobs.record import JobRecord
from services.jobs.states import TERMINAL, State
from services.jobs.store import AsyncJobStore

Checked = TypeVar("Checked", models_pb2.Model, datasets_pb2.Dataset)


class Registry:
    """Looks up what a tenant can name: its own models and datasets, and the datasets that everybody has."""

    def __init__(self, store: AsyncJobStore) -> None:
        self.store = store

    async def model(self, tenant: str, identifier: str) -> models_pb2.Model:
        """Return a model by its id; raises NotFound."""
        record = await self.store.lookup(tenant, "model", identifier)
        return await self.checked(tenant, models_pb2.Model.FromString(record))

    async def model_named(self, tenant: str, name: str) -> models_pb2.Model:
        """Return the model that a spec names: `models/{model}`, a bare id, or a training, by its job or its `model_id`.

        That of a training under way has no weights yet, and the name of its job.
        """
        if name.startswith("jobs/"):
            return await self._of_training(tenant, await self.store.get(tenant, name.removeprefix("jobs/")))
        identifier = name.removeprefix("models/")
        try:
            return await self.model(tenant, identifier)
        except NotFound:
            training = await self.store.making(tenant, identifier)
        if training is None:
            # Its training may have ended between the two looks.
            return await self.model(tenant, identifier)
        return await self._of_training(tenant, await self.store.get(tenant, training))

    async def _of_training(self, tenant: str, record: JobRecord) -> models_pb2.Model:
        """Return the model that a job made, or is to make; FailedPrecondition where it never will."""
        name = f"jobs/{record.id}"
        if record.kind != "training":
            raise FailedPrecondition(f"{name} is no training, so it made no model", reason="NOT_A_TRAINING")
        if record.state is State.SUCCEEDED:
            return await self.model(tenant, render.result(record).model.removeprefix("models/"))
        if record.state in TERMINAL:
            raise FailedPrecondition(
                f"{name} is {record.state.name} and made no model; retry it, then ask again", reason="MODEL_NOT_READY"
            )
        return upcoming.model(record)

    async def dataset(self, tenant: str, identifier: str) -> datasets_pb2.Dataset:
        """Return a built-in, a mounted or an uploaded dataset by its id, in this order; raises NotFound."""
        built_in = catalog.built_in_datasets()
        if identifier in built_in:
            return built_in[identifier]
        mounted = await self.mounted()
        if identifier in mounted:
            return mounted[identifier]
        try:
            record = await self.store.lookup(tenant, "dataset", identifier)
        except NotFound as error:
            hint = did_you_mean(identifier, (*built_in, *mounted))
            raise NotFound("dataset", f"datasets/{identifier}", error.message + hint) from None
        return await self.checked(tenant, datasets_pb2.Dataset.FromString(record))

    async def mounted(self) -> dict[str, datasets_pb2.Dataset]:
        """Return the folders that workers have announced, by id."""
        datasets = [datasets_pb2.Dataset.FromString(record) for record in await self.store.mounts()]
        return {dataset.name.removeprefix("datasets/"): dataset for dataset in datasets}

    async def checked(self, tenant: str, resource: Checked) -> Checked:
        """Return the resource as it stands: one that is CHECKING was rejected if the job that checks it failed."""
        checking = type(resource).STATE_CHECKING
        if resource.state != checking:
            return resource
        kind, identifier = resource.name.split("/")
        try:
            job = await self.store.get(tenant, resource.job.removeprefix("jobs/"))
        except NotFound:
            job = None
        if job is not None and job.state not in TERMINAL:
            return resource
        if job is not None and job.state is State.SUCCEEDED:
            # The check ended between the two reads; its commit wrote the record in the same step.
            record = await self.store.lookup(tenant, "model" if kind == "models" else "dataset", identifier)
            return type(resource).FromString(record)
        resource.state = type(resource).STATE_REJECTED
        resource.error.CopyFrom(_why(job, resource.name))
        return resource

    async def all_checked(self, tenant: str, resources: list[Checked]) -> list[Checked]:
        """Return several resources as they stand."""
        return list(await asyncio.gather(*(self.checked(tenant, resource) for resource in resources)))


def ready(resource: models_pb2.Model | datasets_pb2.Dataset) -> FailedPrecondition | None:
    """Return why jobs can't use a model or dataset yet, or None where they can."""
    state = type(resource).State.Name(resource.state).removeprefix("STATE_")  # type: ignore[arg-type]
    if state == "READY":
        return None
    if state == "CHECKING":
        return FailedPrecondition(
            f"{resource.name} is being checked; wait for {resource.job} to end", reason="NOT_READY"
        )
    return FailedPrecondition(f"{resource.name} was rejected: {resource.error.message}", reason="REJECTED")


def _why(job: JobRecord | None, name: str) -> status_pb2.Status:
    """Say why a check came to nothing."""
    if job is not None and job.error:
        return status_pb2.Status.FromString(job.error)
    cause = "was cancelled" if job is not None else "is gone"
    message = f"the check of {name} {cause}; delete it and register it again"
    return status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=message)
