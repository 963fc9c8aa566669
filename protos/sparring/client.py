"""The blocking client.

    with sparring.connect("127.0.0.1:50051") as client:
        trained = client.jobs.wait(client.train("mnist10k", architecture="wong_cnn", epochs=5), check=True)
        job = client.jobs.wait(client.attack(trained.result.model, "mnist10k", "fgsm", epsilon=0.25), check=True)
        client.artifacts.download(client.jobs.artifact(job, "report"), "report.html")

Retries, keepalive, deadlines and the resuming of streams are inside; every error is one of `sparring.errors`.
A client may be shared between threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Concatenate, ParamSpec, Self

import grpc

from sparring import previews, submit
from sparring.caller import Caller
from sparring.channel import DEFAULT_TARGET, Settings
from sparring.jobs import Jobs
from sparring.resources import Artifacts, Catalog, Datasets, Models
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


def _sends(build: Callable[P, CreateJobRequest]) -> Callable[Concatenate[Client, P], Job]:
    def send(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        return self.jobs.create(build(*args, **kwargs))

    return submit.as_method(send, build)


def _previews(
    build: Callable[P, PreviewAttackRequest],
) -> Callable[Concatenate[Client, P], PreviewAttackResponse]:
    def send(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> PreviewAttackResponse:
        return self._caller.call(self._previews.PreviewAttack, build(*args, **kwargs))

    return submit.as_method(send, build, "PreviewAttackResponse")


def _shows(build: Callable[P, ListSamplesRequest]) -> Callable[Concatenate[Client, P], ListSamplesResponse]:
    def send(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> ListSamplesResponse:
        return self._caller.call(self._previews.ListSamples, build(*args, **kwargs))

    return submit.as_method(send, build, "ListSamplesResponse")


class Client:
    """A connection to one service, with the service's parts as attributes."""

    def __init__(self, settings: Settings) -> None:
        self._caller = Caller(settings)
        self.jobs = Jobs(self._caller)
        self.models = Models(self._caller)
        self.datasets = Datasets(self._caller)
        self.artifacts = Artifacts(self._caller)
        self.catalog = Catalog(self._caller)
        self._tenants = TenantServiceStub(self._caller.channel)
        self._previews = PreviewServiceStub(self._caller.channel)

    attack = _sends(submit.attack)
    train = _sends(submit.train)
    evaluate = _sends(submit.evaluate)
    poison = _sends(submit.poison)
    preview = _previews(previews.preview)
    samples = _shows(previews.samples)

    def tenant(self) -> Tenant:
        """Who is asking, with which role, and what is allowed and in use."""
        return self._caller.call(self._tenants.GetTenant, GetTenantRequest())

    def audit(self, *, page_size: int = 100) -> Iterator[AuditEntry]:
        """Yield what was changed for the tenant and what was refused, newest first, page by page; for admins."""
        request = ListAuditEntriesRequest(page_size=page_size)
        while True:
            page = self._caller.call(self._tenants.ListAuditEntries, request)
            yield from page.entries
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def close(self) -> None:
        """Close the connection; calls that are under way are cancelled."""
        self._caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
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
) -> Client:
    """Make a client of the service at `target`, HOST:PORT; nothing is sent before the first call.

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
    return Client(settings)
