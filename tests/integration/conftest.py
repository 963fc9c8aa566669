"""One whole Sparring for the session: a store, a gateway, two workers, as processes; and a client of the contract."""

from __future__ import annotations

import hashlib
import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from sparring.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    attacks_pb2,
    catalog_pb2,
    catalog_pb2_grpc,
    datasets_pb2,
    datasets_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    models_pb2_grpc,
)

from services.local import LocalStack

Job = jobs_pb2.Job
COUNT = 300
ENDED = {Job.STATE_SUCCEEDED, Job.STATE_FAILED, Job.STATE_CANCELLED, Job.STATE_QUARANTINED}


class Api:
    """The contract's stubs, and the few things that every test does with them."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target)
        self.jobs = jobs_pb2_grpc.JobServiceStub(self.channel)
        self.models = models_pb2_grpc.ModelServiceStub(self.channel)
        self.datasets = datasets_pb2_grpc.DatasetServiceStub(self.channel)
        self.artifacts = artifacts_pb2_grpc.ArtifactServiceStub(self.channel)
        self.catalog = catalog_pb2_grpc.CatalogServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def create(self, spec: Any) -> str:
        field = type(spec).__name__.removesuffix("Spec").lower()
        return self.jobs.CreateJob(jobs_pb2.CreateJobRequest(**{field: spec}), timeout=10).name

    def get(self, name: str) -> Job:
        return self.jobs.GetJob(jobs_pb2.GetJobRequest(name=name), timeout=10)

    def wait(self, name: str, timeout_s: float = 60.0) -> Job:
        """The job, once it has ended; the stream is asked for again where it breaks."""
        deadline = time.monotonic() + timeout_s
        while (job := self.get(name)).state not in ENDED:
            assert time.monotonic() < deadline, f"{name} did not end in {timeout_s} s:\n{job}"
            time.sleep(0.05)
        return job

    def run(self, spec: Any, timeout_s: float = 60.0) -> Job:
        job = self.wait(self.create(spec), timeout_s)
        assert job.state == Job.STATE_SUCCEEDED, job.error
        return job

    def events(self, name: str, after: int = 0) -> list[jobs_pb2.WatchJobResponse]:
        """Every event of a job that has ended."""
        request = jobs_pb2.WatchJobRequest(name=name, after_event_id=after)
        return [event for event in self.jobs.WatchJob(request, timeout=30) if not event.HasField("heartbeat")]

    def units(self, name: str) -> list[jobs_pb2.UnitChange]:
        return [event.unit_change for event in self.events(name) if event.HasField("unit_change")]

    def until(self, name: str, condition: Callable[[Job], object], timeout_s: float = 30.0) -> Job:
        deadline = time.monotonic() + timeout_s
        while not condition(job := self.get(name)):
            assert job.state not in ENDED, f"{name} ended too early: {job.error}"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return job

    def upload(self, content: bytes) -> str:
        """The artifact's name."""
        sha256 = hashlib.sha256(content).hexdigest()
        begin = artifacts_pb2.BeginUploadRequest(sha256=sha256, size_bytes=len(content))
        opened = self.artifacts.BeginUpload(begin, timeout=10)
        if opened.HasField("upload_id"):
            step = 1 << 20
            messages = [
                artifacts_pb2.UploadArtifactRequest(upload_id=opened.upload_id, offset=at, data=content[at : at + step])
                for at in range(0, len(content), step)
            ]
            self.artifacts.UploadArtifact(iter(messages), timeout=30)
        return f"artifacts/{sha256}"

    def download(self, job: Job, role: str) -> bytes:
        name = next(artifact.artifact for artifact in job.result.artifacts if artifact.role == role)
        stream = self.artifacts.DownloadArtifact(artifacts_pb2.DownloadArtifactRequest(name=name), timeout=30)
        content = b"".join(message.data for message in stream)
        assert f"artifacts/{hashlib.sha256(content).hexdigest()}" == name
        return content

    # Specs, and what is read off an answer.

    @staticmethod
    def training(*, model_id: str = "", **changes: Any) -> jobs_pb2.TrainingSpec:
        """A training of about a second."""
        settings: dict[str, Any] = {
            "architecture": "wong_cnn",
            "data": datasets_pb2.DataSelection(dataset="mnist10k", count=1500),
            "evaluation_data": datasets_pb2.DataSelection(dataset="mnist10k", count=COUNT),
            "optimization": jobs_pb2.Optimization(epochs=4, batch_size=50),
            "model_id": model_id,
            "seed": 1,
        }
        return jobs_pb2.TrainingSpec(**{**settings, **changes})

    @staticmethod
    def attack(
        model: str, attack: attacks_pb2.Attack, *, dataset: str = "mnist10k", count: int = COUNT, **execution: int
    ):
        """An attack on the first `count` test samples."""
        return jobs_pb2.AttackSpec(
            model=model,
            data=datasets_pb2.DataSelection(dataset=dataset, count=count),
            attack=attack,
            seed=7,
            execution=jobs_pb2.Execution(**execution),
        )

    @staticmethod
    def fgsm(epsilon: float = 0.2) -> attacks_pb2.Attack:
        return attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(epsilon=epsilon))

    @staticmethod
    def slow(steps: int = 100) -> attacks_pb2.Attack:
        """An attack that takes its time: a ball so small that nearly every sample holds out to the last step."""
        return attacks_pb2.Attack(pgd=attacks_pb2.Pgd(epsilon=0.004, steps=steps))

    @staticmethod
    def digest(job: Job) -> str:
        """The digest of a job's adversarial examples."""
        return next(artifact.artifact for artifact in job.result.artifacts if artifact.role == "adversarial")

    @staticmethod
    def reason(status: Any) -> str:
        info = ErrorInfo()
        assert status.details[0].Unpack(info)
        return info.reason

    @staticmethod
    def npy(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()

    def workers(self) -> list[catalog_pb2.WorkerInfo]:
        return list(self.catalog.GetServerInfo(catalog_pb2.GetServerInfoRequest(), timeout=10).workers)


@pytest.fixture(scope="session")
def stack(fast_folder: Path) -> Iterator[LocalStack]:
    """A stack of two workers; a lease of 4 s keeps the tests that kill workers short."""
    with LocalStack(2, fast_folder / "stack", environment={"SPARRING_LEASE_S": "4"}) as running:
        yield running
        own = [psutil.Process(running.pid(name)) for name in ("worker-1", "worker-2")]
        own += [child for worker in own for child in worker.children(recursive=True)]
    _, left = psutil.wait_procs(own, timeout=10)
    assert left == [], "the stack left processes behind"


@pytest.fixture
def api_of() -> Callable[[str], AbstractContextManager[Api]]:
    """A client of another stack."""
    return lambda target: closing(Api(target))


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def api(stack: LocalStack) -> Iterator[Api]:
    client = Api(stack.target)
    yield client
    client.close()


@pytest.fixture(scope="session")
def model(api: Api) -> str:
    """A model of handwritten digits, trained by the stack itself."""
    return api.run(api.training(model_id="first")).result.model
