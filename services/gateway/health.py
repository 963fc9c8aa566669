"""grpc.health.v1, once a second: SERVING while the store can be reached, takes writes and has our functions.

Where artifacts are kept elsewhere, that place has to be there, too, and to be the right one.

The name `live` is apart: it is SERVING as long as this process answers at all, so that whoever restarts what is not
alive does not restart a gateway because its store is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.artifacts.care import Care
from services.connection import AsyncRedis
from services.environment import SettingsError
from services.errors import SparringError
from services.gateway.preflight import check_redis
from services.jobs import functions
from services.jobs.store import AsyncJobStore

PERIOD_S = 1.0
# A store that takes longer than this to answer is not healthy, whatever it answers in the end.
PATIENCE_S = 3.0
LIVE = "live"

log = logging.getLogger(__name__)
Status = health_pb2.HealthCheckResponse


class Health:
    """Keeps the status of the server as a whole (the empty name) and of each service."""

    def __init__(
        self,
        store: AsyncJobStore,
        redis: AsyncRedis,
        services: Sequence[str],
        *,
        allow_unsafe_redis: bool,
        care: Care | None = None,
        second: AsyncRedis | None = None,
    ) -> None:
        """`care` knows the store of bytes outside, `second` is that store where it is a Redis."""
        self.servicer = health.aio.HealthServicer()
        self._store = store
        self._redis = redis
        self._care, self._second = care, second
        self._allow_unsafe_redis = allow_unsafe_redis
        self._names = ("", *services)
        self._serving: bool | None = None

    async def run(self) -> None:
        """Look at the store once a second until cancelled; raises `UnsafeRedisError` like `update`."""
        await self.servicer.set(LIVE, Status.SERVING)
        while True:
            await self.update()
            await asyncio.sleep(PERIOD_S)

    async def update(self) -> None:
        """Look at the store once, and say so where its state has changed.

        Raises `UnsafeRedisError` where a store that has just come up would lose what it is given.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                problem = await self._problem()
        except TimeoutError:
            problem = f"the store does not answer within {PATIENCE_S:g} s"
        if (problem is None) is not self._serving:
            self._serving = problem is None
            if problem is None:
                log.info("serving")
            else:
                log.warning("not serving: %s", problem)
        await self._set(Status.SERVING if self._serving else Status.NOT_SERVING)

    async def drain(self) -> None:
        """Answer NOT_SERVING from now on, whatever the store does."""
        await self.servicer.enter_graceful_shutdown()

    async def _problem(self) -> str | None:
        """Return what keeps the gateway from serving."""
        try:
            if not self._serving:
                await check_redis(self._redis, allow_unsafe=self._allow_unsafe_redis)
                if self._second is not None:
                    what = "the Redis of the artifacts"
                    await check_redis(self._second, allow_unsafe=self._allow_unsafe_redis, what=what)
            held = await self._store.loaded_version()
            if functions.needs_loading(held):
                # A store that was emptied or restored has lost them; every gateway may load them.
                await self._store.load_functions()
            # Writes by nature, so it fails where the store takes no writes.
            await self._store.reap(limit=1)
        except SparringError as error:
            return error.message
        return None if self._care is None else await self._care.problem()

    async def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in self._names:
            await self.servicer.set(name, status)


async def serve_alone(servicer: health.aio.HealthServicer, address: str) -> grpc.aio.Server:
    """Answer health, and nothing else, on an address of its own: probes have no keys, and seldom certificates.

    Raises SettingsError for a port that is taken.
    """
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise SettingsError(f"SPARRING_HEALTH_LISTEN={address!r}: can't listen there: {error}") from error
    await server.start()
    return server
