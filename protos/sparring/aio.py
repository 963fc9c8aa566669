"""The asyncio client: the blocking one's parts and methods, awaited.

    async with sparring.connect_async("127.0.0.1:50051") as client:
        job = await client.attack("my-net", "mnist10k", "pgd", epsilon=0.1)
        async for event in client.jobs.watch(job):
            print(event)

Make it where an event loop runs. A watch that is left before its end should be closed (contextlib.aclosing), which
cancels its call at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self

import grpc

from sparring import previews, submit
from sparring.aio_caller import AsyncCaller
from sparring.aio_jobs import AsyncJobs
from sparring.aio_resources import AsyncArtifacts, AsyncCatalog, AsyncDatasets, AsyncModels
from sparring.channel import DEFAULT_TARGET, Settings
from sparring.security import PathLike
from sparring.v1.jobs_pb2 import CreateJobRequest, Job
from sparring.v1.preview_pb2 import (
    ListSamplesRequest,
    ListSamplesResponse,
    PreviewAttackRequest,
    PreviewAttackResponse,
)
from sparring.v1.preview_pb2_grpc import PreviewServiceStub
from sparring.v1.tenants_pb2 import AuditEntry, GetTenantRequest, ListAuditEntriesRequest, Tenant
from sparring.v1.tenants_pb2_grpc import TenantServiceStub

P = ParamSpec("P")


def _sends(build: Callable[P, CreateJobRequest]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Job]]:
    async def send(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        return await self.jobs.create(build(*args, **kwargs))

    return submit.as_method(send, build)


def _previews(
    build: Callable[P, PreviewAttackRequest],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, PreviewAttackResponse]]:
    async def send(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> PreviewAttackResponse:
        return await self._caller.call(self._previews.PreviewAttack, build(*args, **kwargs))

    return submit.as_method(send, build, "PreviewAttackResponse")


def _shows(
    build: Callable[P, ListSamplesRequest],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, ListSamplesResponse]]:
    async def send(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> ListSamplesResponse:
        return await self._caller.call(self._previews.ListSamples, build(*args, **kwargs))

    return submit.as_method(send, build, "ListSamplesResponse")


class AsyncClient:
    """A connection to one service, with the service's parts as attributes."""

    def __init__(self, settings: Settings) -> None:
        self._caller = AsyncCaller(settings)
        self.jobs = AsyncJobs(self._caller)
        self.models = AsyncModels(self._caller)
        self.datasets = AsyncDatasets(self._caller)
        self.artifacts = AsyncArtifacts(self._caller)
        self.catalog = AsyncCatalog(self._caller)
        self._tenants = TenantServiceStub(self._caller.channel)
        self._previews = PreviewServiceStub(self._caller.channel)

    attack = _sends(submit.attack)
    train = _sends(submit.train)
    evaluate = _sends(submit.evaluate)
    poison = _sends(submit.poison)
    preview = _previews(previews.preview)
    samples = _shows(previews.samples)

    async def tenant(self) -> Tenant:
        """Who is asking, with which role, and what is allowed and in use."""
        return await self._caller.call(self._tenants.GetTenant, GetTenantRequest())

    async def audit(self, *, page_size: int = 100) -> AsyncIterator[AuditEntry]:
        """Yield what was changed for the tenant and what was refused, newest first, page by page; for admins."""
        request = ListAuditEntriesRequest(page_size=page_size)
        while True:
            page = await self._caller.call(self._tenants.ListAuditEntries, request)
            for entry in page.entries:
                yield entry
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

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
    key: str | None = None,
    tls: bool = False,
    tls_ca: PathLike | None = None,
    tls_cert: PathLike | None = None,
    tls_key: PathLike | None = None,
    allow_plaintext_key: bool = False,
    timeout_s: float = 30.0,
    patience_s: float = 60.0,
    wait_for_ready: bool = False,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncClient:
    """Make an asyncio client of the service at `target`, HOST:PORT; nothing is sent before the first call.

    Several gateways of one service: a name that resolves to all of them, or IP:PORT,IP:PORT. They take turns, and what
    one of them leaves unfinished goes on with another.

    `key` says who asks; it is refused where it would leave this machine in plain text, unless `allow_plaintext_key`.
    `tls`: speak TLS and trust the system's authorities; `tls_ca`: trust this authority's certificate (a PEM file);
    `tls_cert` and `tls_key`: a client certificate and its private key (PEM files), for a service that asks for one.
    `timeout_s`: what one call may take, its retries included. `patience_s`: how long an outage may last in the middle
    of a watch, an upload or a download. `wait_for_ready`: calls wait for the service to come up. `credentials`: TLS
    as gRPC has it, in place of the files.
    """
    settings = Settings.of(
        target,
        key=key,
        tls=tls,
        tls_ca=tls_ca,
        tls_cert=tls_cert,
        tls_key=tls_key,
        allow_plaintext_key=allow_plaintext_key,
        timeout_s=timeout_s,
        patience_s=patience_s,
        wait_for_ready=wait_for_ready,
        credentials=credentials,
    )
    return AsyncClient(settings)
