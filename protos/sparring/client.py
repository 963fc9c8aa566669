"""The blocking client.

    with sparring.connect("127.0.0.1:50051") as client:
        trained = client.jobs.wait(client.train("mnist10k", architecture="wong_cnn", epochs=5), check=True)
        job = client.jobs.wait(client.attack(trained.result.model, "mnist10k", "fgsm", epsilon=0.25), check=True)
        client.artifacts.download(client.jobs.artifact(job, "report"), "report.html")

Retries, keepalive, deadlines and the resuming of streams are inside; every error is one of `sparring.errors`.
A client may be shared between threads.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Concatenate, ParamSpec, Self

import grpc

from sparring import submit
from sparring.caller import Caller
from sparring.channel import DEFAULT_TARGET, Settings
from sparring.jobs import Jobs
from sparring.resources import Artifacts, Catalog, Datasets, Models
from sparring.v1.jobs_pb2 import CreateJobRequest, Job

P = ParamSpec("P")


def _sends(build: Callable[P, CreateJobRequest]) -> Callable[Concatenate[Client, P], Job]:
    def send(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        return self.jobs.create(build(*args, **kwargs))

    return submit.as_method(send, build)


class Client:
    """A connection to one service, with the service's parts as attributes."""

    def __init__(self, settings: Settings) -> None:
        self._caller = Caller(settings)
        self.jobs = Jobs(self._caller)
        self.models = Models(self._caller)
        self.datasets = Datasets(self._caller)
        self.artifacts = Artifacts(self._caller)
        self.catalog = Catalog(self._caller)

    attack = _sends(submit.attack)
    train = _sends(submit.train)
    evaluate = _sends(submit.evaluate)

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
    timeout_s: float = 30.0,
    patience_s: float = 60.0,
    wait_for_ready: bool = False,
    credentials: grpc.ChannelCredentials | None = None,
) -> Client:
    """Make a client of the service at `target`, HOST:PORT; nothing is sent before the first call.

    `timeout_s`: what one call may take, its retries included. `patience_s`: how long an outage may last in the middle
    of a watch, an upload or a download. `wait_for_ready`: calls wait for the service to come up. `credentials`: TLS.
    """
    return Client(
        Settings(
            target=target,
            timeout_s=timeout_s,
            patience_s=patience_s,
            wait_for_ready=wait_for_ready,
            credentials=credentials,
        )
    )
