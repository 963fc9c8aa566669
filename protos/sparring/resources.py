"""Models, datasets, artifacts and the catalog of a blocking client."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sparring import chunks, intake, names, requests, transfer
from sparring.caller import Caller
from sparring.content import Content, Source
from sparring.errors import NotFound
from sparring.names import ArtifactLike, DatasetLike
from sparring.requests import ComponentLike
from sparring.transfer import Report
from sparring.v1.artifacts_pb2 import Artifact, DeleteArtifactRequest, GetArtifactRequest
from sparring.v1.artifacts_pb2_grpc import ArtifactServiceStub
from sparring.v1.catalog_pb2 import (
    ArchitectureInfo,
    GetServerInfoRequest,
    ListArchitecturesRequest,
    ListAttacksRequest,
    ListBuiltInDatasetsRequest,
    ListDefensesRequest,
    ListPoisonsRequest,
    MethodInfo,
    ServerInfo,
)
from sparring.v1.catalog_pb2_grpc import CatalogServiceStub
from sparring.v1.datasets_pb2 import (
    Dataset,
    DeleteDatasetRequest,
    GetDatasetRequest,
    ListDatasetsRequest,
    RegisterDatasetRequest,
)
from sparring.v1.datasets_pb2_grpc import DatasetServiceStub
from sparring.v1.models_pb2 import (
    DeleteModelRequest,
    GetModelRequest,
    ListModelsRequest,
    Model,
    ModelSignature,
    RegisterModelRequest,
)
from sparring.v1.models_pb2_grpc import ModelServiceStub


class Models:
    """The networks that jobs can name."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = ModelServiceStub(caller.channel)
        self._artifacts = ArtifactServiceStub(caller.channel)

    def upload(
        self,
        weights: Content,
        *,
        architecture: str,
        input_shape: Sequence[int],
        classes: int,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        component: ComponentLike | None = None,
        model_id: str = "",
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: Report | None = None,
    ) -> Model:
        """Upload a safetensors file (a path, or its bytes) and register it; `input_shape` is (C, H, W).

        `component` is what stands around the network, if anything: a message, or e.g. "noise:sigma=0.1,votes=4".
        Waits until a worker has checked the tensors (raising what is wrong with them) unless `wait` is false.
        """
        signature = ModelSignature(
            architecture=architecture,
            input_shape=input_shape,
            classes=classes,
            mean=mean,
            std=std,
            component=None if component is None else requests.component(component),
        )
        taking = intake.Intake(
            artifacts=self._artifacts,
            patience=self._caller.patience(),
            report=on_progress,
            wait=wait,
            timeout_s=timeout_s,
        )
        request = RegisterModelRequest(model_id=model_id, signature=signature)
        return self._caller.run(intake.model(taking, self._stub, Source(weights), request))

    def get(self, model: str | Model) -> Model:
        """Look a model up."""
        return self._caller.call(self._stub.GetModel, GetModelRequest(name=names.model(model)))

    def list(self, *, page_size: int = 100) -> Iterator[Model]:
        """Yield models, newest first, page by page."""
        request = ListModelsRequest(page_size=page_size)
        while True:
            page = self._caller.call(self._stub.ListModels, request)
            yield from page.models
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def delete(self, model: str | Model) -> None:
        """Forget a model."""
        self._caller.change(self._stub.DeleteModel, DeleteModelRequest(name=names.model(model)), NotFound)


class Datasets:
    """The data that jobs can name."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = DatasetServiceStub(caller.channel)
        self._artifacts = ArtifactServiceStub(caller.channel)

    def upload(
        self,
        images: Content,
        labels: Content | None = None,
        *,
        classes: int,
        dataset_id: str = "",
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: Report | None = None,
    ) -> Dataset:
        """Upload pictures and labels (.npy or safetensors; paths or bytes) and register them.

        Waits until a worker has checked every pixel and label (raising what is wrong) unless `wait` is false.
        """
        taking = intake.Intake(
            artifacts=self._artifacts,
            patience=self._caller.patience(),
            report=on_progress,
            wait=wait,
            timeout_s=timeout_s,
        )
        request = RegisterDatasetRequest(dataset_id=dataset_id, classes=classes)
        second = None if labels is None else Source(labels)
        return self._caller.run(intake.dataset(taking, self._stub, Source(images), second, request))

    def get(self, dataset: DatasetLike) -> Dataset:
        """Look a dataset up."""
        return self._caller.call(self._stub.GetDataset, GetDatasetRequest(name=names.dataset(dataset)))

    def list(self, *, page_size: int = 100) -> Iterator[Dataset]:
        """Yield datasets: built-in, mounted, then uploaded, newest first."""
        request = ListDatasetsRequest(page_size=page_size)
        while True:
            page = self._caller.call(self._stub.ListDatasets, request)
            yield from page.datasets
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def delete(self, dataset: DatasetLike) -> None:
        """Forget an uploaded dataset."""
        self._caller.change(self._stub.DeleteDataset, DeleteDatasetRequest(name=names.dataset(dataset)), NotFound)


class Artifacts:
    """Immutable bytes by their SHA-256."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = ArtifactServiceStub(caller.channel)

    def upload(
        self, content: Content, *, media_type: str = intake.MEDIA_TYPE, on_progress: Report | None = None
    ) -> Artifact:
        """Upload a file (a path) or bytes; resumed where a disconnect cut it off; free if the service has them."""
        flow = transfer.upload(self._stub, Source(content), media_type, self._caller.patience(), on_progress)
        return self._caller.run(flow)

    def download(
        self, artifact: ArtifactLike, path: str | os.PathLike[str], *, on_progress: Report | None = None
    ) -> Path:
        """Download into a file, which appears under its name once it is whole and has its SHA-256."""
        target = Path(path)
        flow = transfer.download(self._stub, names.artifact(artifact), target, self._caller.patience(), on_progress)
        self._caller.run(flow)
        return target

    def read(self, artifact: ArtifactLike, *, on_progress: Report | None = None) -> bytes:
        """Download into memory."""
        name = names.artifact(artifact)
        return self._caller.run(transfer.download(self._stub, name, None, self._caller.patience(), on_progress))

    def chunks(self, artifact: ArtifactLike, *, offset: int = 0, limit: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `offset` on as they come, at most `limit` of them, 0 for all; the whole is checked."""
        return chunks.read(self._caller, self._stub, names.artifact(artifact), offset, limit)

    def get(self, artifact: ArtifactLike) -> Artifact:
        """Look an artifact up: its size, media type and expiry."""
        return self._caller.call(self._stub.GetArtifact, GetArtifactRequest(name=names.artifact(artifact)))

    def delete(self, artifact: ArtifactLike) -> None:
        """Delete an artifact that nothing is built on."""
        self._caller.change(self._stub.DeleteArtifact, DeleteArtifactRequest(name=names.artifact(artifact)), NotFound)


class Catalog:
    """What the service can do."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = CatalogServiceStub(caller.channel)

    def info(self) -> ServerInfo:
        """Version, limits, and the workers that listen."""
        return self._caller.call(self._stub.GetServerInfo, GetServerInfoRequest())

    def attacks(self) -> Sequence[MethodInfo]:
        """Every attack with its parameters."""
        return self._caller.call(self._stub.ListAttacks, ListAttacksRequest()).attacks

    def defenses(self) -> Sequence[MethodInfo]:
        """Every defense with its parameters."""
        return self._caller.call(self._stub.ListDefenses, ListDefensesRequest()).defenses

    def poisons(self) -> Sequence[MethodInfo]:
        """Every poison of training sets with its parameters."""
        return self._caller.call(self._stub.ListPoisons, ListPoisonsRequest()).poisons

    def architectures(self) -> Sequence[ArchitectureInfo]:
        """Every architecture."""
        return self._caller.call(self._stub.ListArchitectures, ListArchitecturesRequest()).architectures

    def datasets(self) -> Sequence[Dataset]:
        """The datasets that ship with Sparring."""
        return self._caller.call(self._stub.ListBuiltInDatasets, ListBuiltInDatasetsRequest()).datasets
