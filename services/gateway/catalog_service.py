"""CatalogService: what this server can do, and who works for it."""

from __future__ import annotations

import asyncio
import time
from importlib import metadata
from typing import Any

import grpc
from sparring.v1 import catalog_pb2, catalog_pb2_grpc
from typing_extensions import override

from services.artifacts.store import AsyncArtifactStore
from services.gateway import catalog
from services.gateway.identity import current
from services.jobs.record import WorkerRecord
from services.jobs.store import AsyncJobStore

Context = grpc.aio.ServicerContext[Any, Any]


class Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    """Answers from tables, and from the store where it is about workers."""

    def __init__(
        self, store: AsyncJobStore, artifacts: AsyncArtifactStore, *, max_artifact_bytes: int, max_samples: int
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._max_artifact_bytes = max_artifact_bytes
        self._max_samples = max_samples

    @override
    async def GetServerInfo(
        self, request: catalog_pb2.GetServerInfoRequest, context: Context
    ) -> catalog_pb2.ServerInfo:
        tenant = current().tenant
        workers, ready_units, used = await asyncio.gather(
            self._store.workers(), self._store.ready_units(tenant), self._artifacts.usage()
        )
        return catalog_pb2.ServerInfo(
            version=metadata.version("sparring"),
            max_artifact_bytes=self._max_artifact_bytes,
            max_samples=self._max_samples,
            workers=[worker_info(worker, tenant, now_ms=time.time() * 1000) for worker in workers],
            ready_units=ready_units,
            store_used=used,
        )

    @override
    async def ListAttacks(
        self, request: catalog_pb2.ListAttacksRequest, context: Context
    ) -> catalog_pb2.ListAttacksResponse:
        return catalog_pb2.ListAttacksResponse(attacks=catalog.attacks())

    @override
    async def ListDefenses(
        self, request: catalog_pb2.ListDefensesRequest, context: Context
    ) -> catalog_pb2.ListDefensesResponse:
        return catalog_pb2.ListDefensesResponse(defenses=catalog.defenses())

    @override
    async def ListPoisons(
        self, request: catalog_pb2.ListPoisonsRequest, context: Context
    ) -> catalog_pb2.ListPoisonsResponse:
        return catalog_pb2.ListPoisonsResponse(poisons=catalog.poisons())

    @override
    async def ListArchitectures(
        self, request: catalog_pb2.ListArchitecturesRequest, context: Context
    ) -> catalog_pb2.ListArchitecturesResponse:
        infos = [
            catalog_pb2.ArchitectureInfo(
                name=entry.name,
                description=entry.description,
                paper=entry.paper,
                fitted=entry.fitted,
                fitting=[catalog.fit_options()[option] for option in entry.fitting],
            )
            for entry in catalog.architectures().values()
        ]
        return catalog_pb2.ListArchitecturesResponse(architectures=infos)

    @override
    async def ListBuiltInDatasets(
        self, request: catalog_pb2.ListBuiltInDatasetsRequest, context: Context
    ) -> catalog_pb2.ListBuiltInDatasetsResponse:
        return catalog_pb2.ListBuiltInDatasetsResponse(datasets=catalog.built_in_datasets().values())


def worker_info(worker: WorkerRecord, tenant: str, *, now_ms: float) -> catalog_pb2.WorkerInfo:
    """Describe a worker to a tenant, which does not hear of what the worker does for others.

    Its last word was timed by the store, whose clock may be a little ahead of ours.
    """
    unit = ""
    if worker.unit is not None and worker.tenant == tenant:
        job, _, number = worker.unit.rpartition("/")
        unit = f"jobs/{job}/units/{number}"
    return catalog_pb2.WorkerInfo(
        id=worker.id,
        device=worker.lane,
        device_name=worker.device_name,
        unit=unit,
        last_seen_s=max(0.0, (now_ms - worker.last_seen_ms) / 1000),
        versions=worker.versions,
        memory_bytes=worker.memory_bytes,
        device_class=worker.device_class,
    )
