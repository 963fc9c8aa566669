"""Uploads that become models and datasets, as flows: send the bytes, register them, wait for the check."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.rpc.code_pb2 import Code

from sparring.content import Source
from sparring.errors import TimedOut
from sparring.flow import Call, Flow, Pause
from sparring.resume import Patience
from sparring.statuses import from_status
from sparring.transfer import Report, upload
from sparring.v1.artifacts_pb2_grpc import ArtifactServiceStub
from sparring.v1.datasets_pb2 import Dataset, GetDatasetRequest, RegisterDatasetRequest
from sparring.v1.datasets_pb2_grpc import DatasetServiceStub
from sparring.v1.models_pb2 import GetModelRequest, Model, RegisterModelRequest
from sparring.v1.models_pb2_grpc import ModelServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable

MEDIA_TYPE = "application/octet-stream"
LOOK_EVERY_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What every intake needs: where bytes go, how patient to be, whether and how long to wait for the check."""

    artifacts: ArtifactServiceStub
    patience: Patience
    report: Report | None = None
    wait: bool = True
    timeout_s: float | None = None

    def send(self, source: Source) -> Flow[str]:
        """Upload the bytes and answer with their artifact's name."""
        artifact = yield from upload(self.artifacts, source, MEDIA_TYPE, self.patience, self.report)
        return artifact.name

    def checked(self, thing: Any, look: Callable[[], Call]) -> Flow[Any]:
        """Look until the check has ended; raise what was found wrong."""
        until = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        while self.wait and thing.state == thing.STATE_CHECKING:
            if until is not None and time.monotonic() >= until:
                raise TimedOut(
                    f"{thing.name} is registered, but no worker has checked it within {self.timeout_s:g} s; "
                    "see that one is running (`sparring info`), then ask for it again",
                    reason="NOT_CHECKED",
                )
            yield Pause(LOOK_EVERY_S)
            thing = yield look()
        if thing.state == thing.STATE_REJECTED:
            raise from_status(Code.Name(thing.error.code), thing.error)
        return thing


def model(intake: Intake, stub: ModelServiceStub, source: Source, request: RegisterModelRequest) -> Flow[Model]:
    """Upload weights and register them as a model."""
    request.weights = yield from intake.send(source)
    made: Model = yield Call(stub.RegisterModel, request)
    ready: Model = yield from intake.checked(made, lambda: Call(stub.GetModel, GetModelRequest(name=made.name)))
    return ready


def dataset(
    intake: Intake, stub: DatasetServiceStub, images: Source, labels: Source | None, request: RegisterDatasetRequest
) -> Flow[Dataset]:
    """Upload pictures and labels and register them as a dataset."""
    request.images = yield from intake.send(images)
    if labels is not None:
        request.labels = yield from intake.send(labels)
    made: Dataset = yield Call(stub.RegisterDataset, request)
    ready: Dataset = yield from intake.checked(made, lambda: Call(stub.GetDataset, GetDatasetRequest(name=made.name)))
    return ready
