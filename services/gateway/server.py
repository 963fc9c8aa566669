"""Wires the gateway: one process, one event loop, three connections to the store (commands, events, bytes).

Start: refuse an unsafe store, listen, serve; a store that is not there yet keeps the gateway NOT_SERVING, not down.
End: NOT_SERVING, a while for load balancers to see it, calls end, and the connections to the store close last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from sparring.v1 import (
    artifacts_pb2,
    catalog_pb2,
    catalog_pb2_grpc,
    datasets_pb2,
    datasets_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    preview_pb2,
    preview_pb2_grpc,
    tenants_pb2,
    tenants_pb2_grpc,
)

from services.artifacts.outside import redis_of
from services.artifacts.store import AsyncArtifactStore
from services.connection import AsyncRedis, connect_async
from services.environment import SettingsError
from services.errors import SparringError
from services.gateway.access import check_table
from services.gateway.artifacts import Artifacts
from services.gateway.artifacts import add_to_server as add_artifacts
from services.gateway.audit import Auditor
from services.gateway.catalog_service import Catalog
from services.gateway.certificates import Certificates
from services.gateway.datasets import Datasets
from services.gateway.exposure import check_exposure
from services.gateway.health import Health, serve_alone
from services.gateway.interceptor import Interceptor
from services.gateway.jobs import Jobs
from services.gateway.models import Models
from services.gateway.open_streams import OpenStreams
from services.gateway.options import Options
from services.gateway.paging import Pager
from services.gateway.previews import Previews
from services.gateway.registry import Registry
from services.gateway.tasks import end
from services.gateway.tenancy import PERIOD_S, Tenancy
from services.gateway.tenants import Tenants
from services.gateway.watch import Streams
from services.jobs import reaper
from services.jobs.previews import AsyncPreviewBoard
from services.jobs.store import AsyncJobStore
from services.jobs.watch import Watcher
from services.settings import GatewaySettings
from services.telemetry.metrics_gateway import GatewayMetrics
from services.telemetry.metrics_serving import PATH, MetricsServer

log = logging.getLogger(__name__)

SERVICES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (jobs_pb2, "JobService"),
        (models_pb2, "ModelService"),
        (datasets_pb2, "DatasetService"),
        (artifacts_pb2, "ArtifactService"),
        (catalog_pb2, "CatalogService"),
        (tenants_pb2, "TenantService"),
        (preview_pb2, "PreviewService"),
    )
)

# Calls beyond this get RESOURCE_EXHAUSTED at once; each WatchJob is one.
MAX_CONCURRENT_RPCS = 2000

# A store that does not answer holds up the end for so long at most.
CLOSING_S = 2.0

GRPC_OPTIONS: tuple[tuple[str, int], ...] = (
    # Messages of clients: specs are small, chunks of uploads at most 2 MiB.
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    # Bounds what one connection can ask for at a time, and with it the rapid reset attack.
    ("grpc.max_concurrent_streams", 256),
    # A half-open connection is found out within 80 s; clients may ping every 30 s, idle or not.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
    # Connections move on to new gateways; the grace is longer than any WatchJob.
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 16 * 60_000),
    # Two gateways on one port would be an accident.
    ("grpc.so_reuseport", 0),
)


async def _quietly(close: Callable[[], Awaitable[None]]) -> None:
    """Close something on the store; at the end it matters no more whether the store answers."""
    try:
        async with asyncio.timeout(CLOSING_S):
            await close()
    except (SparringError, TimeoutError) as error:
        log.info("while stopping: %s", error)


class Gateway:
    """A gateway on its own event loop; `start` it, `stop` it."""

    def __init__(self, settings: GatewaySettings, options: Options) -> None:
        self._settings = settings
        self._options = options
        self._resources = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics = GatewayMetrics()
        self._open, self._auditor = OpenStreams(settings.max_streams), Auditor(self._metrics)
        self._tenancy: Tenancy
        self._certificates: Certificates | None
        self._streams: Streams
        self._health: Health
        self._server: grpc.aio.Server
        # Where metrics are served once it has started, if anywhere; the port that was taken where 0 was asked for.
        self.metrics_address: str | None = None

    async def start(self) -> str:
        """Serve, and return the address.

        Raises `UnsafeRedisError` where the store would lose what it is given, SettingsError for a port that is taken.
        """
        try:
            return await self._start()
        except BaseException:
            await self._resources.aclose()
            raise

    async def _start(self) -> str:
        check_table(SERVICES)
        check_exposure(self._settings)
        self._tenancy = Tenancy(self._settings.tenants_file)
        self._certificates = None if self._settings.tls is None else Certificates(self._settings.tls)
        store_settings = self._settings.store
        redis = await self._resources.enter_async_context(connect_async(store_settings))
        blocking = await self._resources.enter_async_context(connect_async(store_settings, blocking=True))
        store = AsyncJobStore(redis, store_settings)
        artifacts = AsyncArtifactStore(redis, store_settings)
        self._resources.push_async_callback(artifacts.aclose)
        watcher = Watcher(blocking)
        self._resources.push_async_callback(_quietly, watcher.aclose)
        self._streams = Streams(store, watcher, sent=self._metrics.events.inc)
        self._health = Health(
            store,
            redis,
            SERVICES,
            allow_unsafe_redis=self._options.allow_unsafe_redis,
            care=artifacts.care,
            second=await self._second_redis(),
        )
        await self._health.update()
        self._server = grpc.aio.server(
            interceptors=[Interceptor(self._tenancy, self._open, self._auditor, metrics=self._metrics)],
            options=GRPC_OPTIONS,
            maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS,
        )
        self._add_services(store, artifacts, AsyncPreviewBoard(redis, blocking))
        address = self._listen()
        if self._settings.health_listen is not None:
            probed = await serve_alone(self._health.servicer, self._settings.health_listen)
            self._resources.push_async_callback(probed.stop, None)
        self._serve_metrics()
        # Before the first call, where the store is there; else as soon as it is.
        await _quietly(lambda: self._tenancy.publish(store))
        await self._server.start()
        self._resources.push_async_callback(self._auditor.flush, store)
        housekeeping = (
            self._health.run(),
            reaper.run(store),
            artifacts.care.run(),
            self._tenancy.run(store),
            self._auditor.run(store),
            self._look_around(),
            self._metrics.watch_loop(),
        )
        self._tasks = [asyncio.create_task(work) for work in housekeeping]
        return address

    async def _second_redis(self) -> AsyncRedis | None:
        """A connection to the Redis of the artifacts, where they have one of their own."""
        second = redis_of(self._settings.store.artifacts)
        return None if second is None else await self._resources.enter_async_context(connect_async(second))

    async def _look_around(self) -> None:
        """Take over changed tenants and certificates, and end the streams of keys that are good no more."""
        while True:
            await asyncio.sleep(PERIOD_S)
            self._tenancy.refresh()
            if self._certificates is not None:
                self._certificates.refresh()
            self._open.recheck()

    async def run_until(self, asked: asyncio.Event) -> None:
        """Serve until the event is set, then stop; raises what made the housekeeping end, if anything did."""
        waiting = asyncio.create_task(asked.wait())
        done, _ = await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        await end([waiting])
        await self.stop()
        for task in done - {waiting}:
            task.result()

    async def stop(self) -> None:
        """Drain: tell that the end is near, let calls end, then close the connections to the store."""
        log.info("draining")
        await self._health.drain()
        await asyncio.sleep(self._options.drain_s)
        self._streams.draining.set()
        await self._server.stop(self._options.grace_s)
        await end(self._tasks)
        await self._resources.aclose()
        log.info("stopped")

    def _serve_metrics(self) -> None:
        """Answer /metrics where that is asked for. SettingsError: the port is taken."""
        if self._settings.metrics_listen is not None:
            served = MetricsServer(self._settings.metrics_listen, self._metrics.registry)
            self._resources.callback(served.close)
            self.metrics_address = served.address
            log.info("metrics on http://%s%s", served.address, PATH)

    def _listen(self) -> str:
        """Take the port, and return the address with the port that was taken where 0 was asked for."""
        listen, server = self._settings.listen, self._server
        try:
            if self._certificates is None:
                port = server.add_insecure_port(listen)
            else:
                port = server.add_secure_port(listen, self._certificates.credentials())
        except RuntimeError as error:
            raise SettingsError(f"SPARRING_LISTEN={listen!r}: can't listen there: {error}") from error
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    def _add_services(self, store: AsyncJobStore, artifacts: AsyncArtifactStore, board: AsyncPreviewBoard) -> None:
        """Register every service of the contract, health and reflection."""
        settings, server = self._settings, self._server
        registry, pager = Registry(store), Pager(settings.page_token_key)
        caps = {"max_samples": settings.max_samples, "max_artifact_bytes": settings.store.max_artifact_bytes}
        jobs = Jobs(registry, artifacts, self._streams, pager, **caps)
        catalog = Catalog(store, artifacts, **caps)
        jobs_pb2_grpc.add_JobServiceServicer_to_server(jobs, server)
        models_pb2_grpc.add_ModelServiceServicer_to_server(Models(registry, artifacts, pager), server)
        datasets_pb2_grpc.add_DatasetServiceServicer_to_server(Datasets(registry, artifacts, pager), server)
        add_artifacts(Artifacts(artifacts), server)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(catalog, server)
        tenants_pb2_grpc.add_TenantServiceServicer_to_server(Tenants(store, pager), server)
        previews = Previews(registry, board, most=settings.max_previews)
        preview_pb2_grpc.add_PreviewServiceServicer_to_server(previews, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, server)
        names = (*SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
