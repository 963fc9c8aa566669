"""DatasetService: what ships with Sparring, what ops mounted, and what clients uploaded."""

from __future__ import annotations

import hashlib
from typing import Any

import grpc
from sparring.v1 import datasets_pb2, datasets_pb2_grpc, jobs_pb2
from typing_extensions import override

from services.artifacts.store import AsyncArtifactStore
from services.errors import AlreadyExists, FailedPrecondition, InvalidArgument, Violation
from services.gateway import catalog, intake
from services.gateway.arrays import read_arrays
from services.gateway.check_signature import check_classes
from services.gateway.identity import current
from services.gateway.names import ID_RULE, bare_digest, is_id, required_id, shown
from services.gateway.paging import Pager, page_size
from services.gateway.registry import Registry
from services.gateway.selections import join_digests

Context = grpc.aio.ServicerContext[Any, Any]

# Digits of the digest that make the id of a dataset that was given none.
ID_DIGITS = 16


class Datasets(datasets_pb2_grpc.DatasetServiceServicer):
    """Translates between the contract, the registry and the artifact store."""

    def __init__(self, registry: Registry, artifacts: AsyncArtifactStore, pager: Pager) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._pager = pager

    @override
    async def RegisterDataset(
        self, request: datasets_pb2.RegisterDatasetRequest, context: Context
    ) -> datasets_pb2.Dataset:
        tenant = current().tenant
        violations = check_registration(request)
        images = bare_digest(request.images)
        labels = bare_digest(request.labels) if request.labels else images
        if violations or images is None or labels is None:
            raise InvalidArgument(violations)
        digest = join_digests(images, labels)

        def same(dataset: datasets_pb2.Dataset) -> bool:
            return dataset.digest == digest and dataset.classes == request.classes

        identifier = request.dataset_id or hashlib.sha256(digest.encode()).hexdigest()[:ID_DIGITS]
        await self._refuse_fixed(identifier)
        earlier = await intake.known(self._registry, tenant, datasets_pb2.Dataset, identifier, same)
        if earlier is not None:
            return earlier
        count, shape = await read_arrays(self._artifacts, tenant, images, labels)
        name = f"datasets/{identifier}"
        dataset = datasets_pb2.Dataset(
            name=name,
            state=datasets_pb2.Dataset.STATE_CHECKING,
            source=datasets_pb2.DATASET_SOURCE_UPLOADED,
            input_shape=shape,
            classes=request.classes,
            splits=[datasets_pb2.Split(name="all", count=count)],
            digest=digest,
            job=f"jobs/{intake.new_job_id()}",
        )
        dataset.create_time.GetCurrentTime()
        arrays = jobs_pb2.DatasetArrays(name=name, images_sha256=images, labels_sha256=labels, classes=request.classes)
        pins = tuple(dict.fromkeys((images, labels)))
        spec = jobs_pb2.IntakeSpec(dataset=arrays)
        return await intake.admit(self._registry, tenant, dataset, spec, pins, same=same)

    @override
    async def GetDataset(self, request: datasets_pb2.GetDatasetRequest, context: Context) -> datasets_pb2.Dataset:
        return await self._registry.dataset(current().tenant, required_id(request.name, "datasets"))

    @override
    async def ListDatasets(
        self, request: datasets_pb2.ListDatasetsRequest, context: Context
    ) -> datasets_pb2.ListDatasetsResponse:
        tenant = current().tenant
        scope = ("datasets", tenant)
        # "f5": the first list, of what is fixed, from its fifth entry on; "u17": uploads before entry 17, 0 being all.
        cursor = self._pager.cursor(request.page_token, *scope)
        part, position = (cursor[0], int(cursor[1:])) if cursor else ("f", 0)
        room = page_size(request.page_size)
        datasets: list[datasets_pb2.Dataset] = []
        if part == "f":
            fixed = await self._fixed()
            datasets = fixed[position : position + room]
            position += len(datasets)
            if position < len(fixed):
                token = self._pager.token(f"f{position}", *scope)
                return datasets_pb2.ListDatasetsResponse(datasets=datasets, next_page_token=token)
            room, position = room - len(datasets), 0
        following = f"u{position}"
        if room > 0:
            page = await self._registry.store.registered(tenant, "dataset", position, room)
            uploaded = [datasets_pb2.Dataset.FromString(record) for record in page]
            datasets += await self._registry.all_checked(tenant, uploaded)
            following = f"u{page.cursor}" if page.cursor else ""
        token = self._pager.token(following, *scope)
        return datasets_pb2.ListDatasetsResponse(datasets=datasets, next_page_token=token)

    @override
    async def DeleteDataset(
        self, request: datasets_pb2.DeleteDatasetRequest, context: Context
    ) -> datasets_pb2.DeleteDatasetResponse:
        tenant = current().tenant
        dataset = await self._registry.dataset(tenant, required_id(request.name, "datasets"))
        if dataset.source != datasets_pb2.DATASET_SOURCE_UPLOADED:
            word = "built in" if dataset.source == datasets_pb2.DATASET_SOURCE_BUILT_IN else "mounted by ops"
            raise FailedPrecondition(f"{dataset.name} is {word} and can't be deleted", reason="NOT_UPLOADED")
        await intake.forget(self._registry, tenant, dataset)
        return datasets_pb2.DeleteDatasetResponse()

    async def _fixed(self) -> list[datasets_pb2.Dataset]:
        """Return the datasets that nobody uploaded: built-in ones, then mounted ones by name."""
        built_in = catalog.built_in_datasets()
        mounted = await self._registry.mounted()
        return [*built_in.values(), *(mounted[name] for name in sorted(mounted.keys() - built_in.keys()))]

    async def _refuse_fixed(self, identifier: str) -> None:
        """Refuse an id that a built-in or mounted dataset has."""
        if identifier in catalog.built_in_datasets() or identifier in await self._registry.mounted():
            raise AlreadyExists(f"dataset {identifier!r} is built in or mounted; choose another id")


def check_registration(request: datasets_pb2.RegisterDatasetRequest) -> list[Violation]:
    """Return everything that is wrong with a request by itself."""
    violations = []
    if request.dataset_id and not is_id(request.dataset_id):
        violations.append(Violation("dataset_id", f"must have {ID_RULE}, not {shown(request.dataset_id)}"))
    for name in ("images", "labels"):
        value = getattr(request, name)
        if (value or name == "images") and bare_digest(value) is None:
            violations.append(Violation(name, f"must be `artifacts/{{sha256}}`, not {shown(value)}"))
    return [*violations, *check_classes(request.classes, "classes")]
