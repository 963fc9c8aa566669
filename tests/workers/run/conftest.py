"""One worker that is no process, and jobs as the gateway would have resolved them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2, models_pb2

from services.artifacts.store import ArtifactStore
from services.jobs.record import JobRecord, NewJob, WorkerRecord
from services.jobs.states import State
from services.jobs.store import JobStore
from workers import models
from workers.lease import Drain, Heartbeat, Limits, Presence, Worker
from workers.run import Context, run_unit

SIGNATURE = models.Signature("softmax_regression", (1, 8, 8), 10)
UNTARGETED = attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted())
FGSM = attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(epsilon=0.1, norm=attacks_pb2.NORM_LINF), goal=UNTARGETED)


class Bench:
    """One worker that is no process, and jobs as the gateway would have resolved them."""

    def __init__(self, store: JobStore, artifacts: ArtifactStore, folder: Path) -> None:
        self.store, self.artifacts = store, artifacts
        self.context = Context(store=store, artifacts=artifacts, device=torch.device("cpu"))
        self.drain = Drain(folder / "drain")

    def submit(self, job: jobs_pb2.Job, name: str = "job", tenant: str = "default") -> None:
        kind, units = job.WhichOneof("spec"), job.resolution.units
        spec = job.SerializeToString()
        self.store.submit(NewJob(id=name, tenant=tenant, kind=kind, spec=spec, spec_hash=name, units=units))

    def serve(self, wrap: Callable[[Heartbeat], object] = lambda heartbeat: heartbeat) -> None:
        record = WorkerRecord(id="w", lane="cpu", device_name="test", unit=None, last_seen_ms=0)
        Worker(
            store=self.store,
            presence=Presence(self.store, record),
            drain=self.drain,
            run=lambda lease, heartbeat: run_unit(lease, wrap(heartbeat), self.context),
            limits=Limits(renew_s=0.1),
        ).serve()

    def run(self, job: jobs_pb2.Job, name: str = "job") -> JobRecord:
        self.submit(job, name)
        self.serve()
        return self.store.get("default", name)

    def result(self, job: jobs_pb2.Job, name: str = "job") -> jobs_pb2.JobResult:
        record = self.run(job, name)
        assert record.state is State.SUCCEEDED, Status.FromString(record.error)
        return jobs_pb2.JobResult.FromString(record.result)

    def failure(self, job: jobs_pb2.Job) -> tuple[str, str]:
        record = self.run(job)
        assert record.state is State.FAILED
        return self.said(Status.FromString(record.error))

    @staticmethod
    def said(status: Status) -> tuple[str, str]:
        """Its reason and its message."""
        info = ErrorInfo()
        assert status.details[0].Unpack(info)
        return info.reason, status.message

    def file(self, result: jobs_pb2.JobResult, role: str, tenant: str = "default") -> bytes:
        name = next(artifact.artifact for artifact in result.artifacts if artifact.role == role)
        return self.artifacts.get(tenant, name.removeprefix("artifacts/"))

    def model(self, seed: int = 0, tenant: str = "default") -> jobs_pb2.ResolvedModel:
        sha256 = self.artifacts.put(tenant, models.save(models.build(SIGNATURE, seed=seed)))
        signature = models_pb2.ModelSignature(architecture="softmax_regression", input_shape=[1, 8, 8], classes=10)
        return jobs_pb2.ResolvedModel(name=f"models/m{seed}", weights_sha256=sha256, signature=signature)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def bench(job_store: JobStore, artifact_store: ArtifactStore, tmp_path: Path) -> Bench:
    return Bench(job_store, artifact_store, tmp_path)


def digits(split: str = "test", count: int = 100) -> jobs_pb2.ResolvedData:
    return jobs_pb2.ResolvedData(
        dataset="digits",
        source=datasets_pb2.DATASET_SOURCE_BUILT_IN,
        split=split,
        count=count,
        classes=10,
        input_shape=[1, 8, 8],
    )


def attack_job(model: jobs_pb2.ResolvedModel, attack: attacks_pb2.Attack = FGSM) -> jobs_pb2.Job:
    spec = jobs_pb2.AttackSpec(
        model=model.name, attack=attack, seed=5, execution=jobs_pb2.Execution(batch_size=20, shard_size=40)
    )
    resolution = jobs_pb2.Resolution(models=[model], data=digits(), shards=3, units=3)
    return jobs_pb2.Job(attack=spec, resolution=resolution, display_name="a <b>")


def training_job(defense: defenses_pb2.Defense, epochs: int = 3) -> jobs_pb2.Job:
    optimization = jobs_pb2.Optimization(
        epochs=epochs,
        batch_size=50,
        learning_rate=0.02,
        optimizer=jobs_pb2.OPTIMIZER_ADAM,
        schedule=jobs_pb2.SCHEDULE_ONE_CYCLE,
        momentum=0.9,
        precision=jobs_pb2.PRECISION_FLOAT32,
        crafting_mode=jobs_pb2.CRAFTING_MODE_EVAL,
    )
    spec = jobs_pb2.TrainingSpec(
        architecture="softmax_regression", defense=defense, optimization=optimization, seed=2, model_id="mine"
    )
    data, judged = digits("train", 600), digits("test", 100)
    return jobs_pb2.Job(
        training=spec, resolution=jobs_pb2.Resolution(data=data, evaluation_data=judged, shards=1, units=1)
    )


@pytest.fixture
def make() -> SimpleNamespace:
    """Jobs as the gateway would have resolved them."""
    return SimpleNamespace(digits=digits, attack=attack_job, training=training_job)
