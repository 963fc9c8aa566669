"""The asyncio client: the blocking one's parts and methods, awaited.

    async with sparring.connect_async("127.0.0.1:50051") as client:
        job = await client.attack("my-net", "mnist10k", "pgd", epsilon=0.1)
        async for event in client.jobs.watch(job):
            print(event)

Make it where an event loop runs. A watch that is left before its end should be closed (contextlib.aclosing), which
cancels its call at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self

import grpc

from sparring import submit
from sparring.aio_caller import AsyncCaller
from sparring.aio_jobs import AsyncJobs
from sparring.aio_resources import AsyncArtifacts, AsyncCatalog, AsyncDatasets, AsyncModels
from sparring.channel import DEFAULT_TARGET, Settings
from sparring.v1.jobs_pb2 import CreateJobRequest, Job

P = ParamSpec("P")


def _sends(build: Callable[P, CreateJobRequest]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Job]]:
    async def send(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        return await self.jobs.create(build(*args, **kwargs))

    return submit.as_method(send, build)


class AsyncClient:
    """A connection to one service, with the service's parts as attributes."""

    def __init__(self, settings: Settings) -> None:
        self._caller = AsyncCaller(settings)
        self.jobs = AsyncJobs(self._caller)
        self.models = AsyncModels(self._caller)
        self.datasets = AsyncDatasets(self._caller)
        self.artifacts = AsyncArtifacts(self._caller)
        self.catalog = AsyncCatalog(self._caller)

    attack = _sends(submit.attack)
    train = _sends(submit.train)
    evaluate = _sends(submit.evaluate)

    async def close(self) -> None:
        """Close the connection; calls that are under way are cancelled."""
        await self._caller.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def connect_async(
    target: str = DEFAULT_TARGET,
    *,
    timeout_s: float = 30.0,
    patience_s: float = 60.0,
    wait_for_ready: bool = False,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncClient:
    """Make an asyncio client of the service at `target`, HOST:PORT; nothing is sent before the first call.

    `timeout_s`: what one call may take, its retries included. `patience_s`: how long an outage may last in the middle
    of a watch, an upload or a download. `wait_for_ready`: calls wait for the service to come up. `credentials`: TLS.
    """
    return AsyncClient(
        Settings(
            target=target,
            timeout_s=timeout_s,
            patience_s=patience_s,
            wait_for_ready=wait_for_ready,
            credentials=credentials,
        )
    )
