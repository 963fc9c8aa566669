"""Whole jobs at the worker's level: resolved as a gateway would, every unit done in this process with a real store."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch
from google.rpc.status_pb2 import Status
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2, models_pb2, poisoning_pb2

from services.artifacts.store import ArtifactStore
from services.jobs.record import Lease, NewJob
from services.jobs.store import JobStore
from workers import data, models
from workers.lease import Committed, Failed, Finished, Outcome
from workers.run import Context, run_unit

TENANT = "vision"


@cache
def trained(architecture: str, seed: int) -> bytes:
    """Weights that read most digits rightly, so that there is something to attack."""
    network, digits = (
        models.build(models.Signature(architecture, (1, 8, 8), 10), seed=seed),
        data.builtin("digits", "train"),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(digits.pixels(slice(600))), digits.y[:600]).backward()
        optimizer.step()
    return models.save(network)


class Quiet:
    """A heartbeat for a lease that nobody renews, and that lasts long enough."""

    def tick(self, fraction: float, message: str = "") -> None:
        assert 0 <= fraction <= 1

    def metric(self, name: str, value: float, step: int) -> None:
        assert step > 0

    def insist(self, call: Callable[[], Any], *, wait_if_full: bool = True) -> Any:
        return call()

    def keep_checkpoint(self, digest: str) -> None:
        assert digest

    def checkpoint_wanted(self) -> bool:
        return False


@dataclass
class Laboratory:
    """One worker and its stores; `leases` are those of the closing units, in the order they came."""

    store: JobStore
    artifacts: ArtifactStore
    leases: list[Lease] = field(default_factory=list)
    claims: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.context = Context(store=self.store, artifacts=self.artifacts, device=torch.device("cpu"))

    def do(self, lease: Lease) -> Outcome:
        return run_unit(lease, Quiet(), self.context)

    def result(self, job: jobs_pb2.Job, name: str = "job") -> jobs_pb2.JobResult:
        """Run a job to its end, which must be its success."""
        outcome = self.run(job, name)
        assert isinstance(outcome, Finished), Status.FromString(outcome.error)
        return jobs_pb2.JobResult.FromString(outcome.result)

    def run(self, job: jobs_pb2.Job, name: str = "job") -> Finished | Failed:
        lease, outcome = self.first_unit(job, name)
        while isinstance(outcome, Committed):
            self.store.commit(lease, "w", outcome.digest, outcome.stats)
            lease, outcome = self.next_unit()
        if isinstance(outcome, Finished):
            self.leases.append(lease)
            self.store.finish(lease, "w", outcome.result, outcome.registration)
        else:
            self.store.fail(lease, "w", outcome.error)
        return outcome

    def first_unit(self, job: jobs_pb2.Job, name: str) -> tuple[Lease, Outcome]:
        """Accept a job and do its first unit; nothing is committed."""
        kind = job.WhichOneof("spec")
        new = NewJob(
            id=name,
            tenant=TENANT,
            kind=kind,
            spec=job.SerializeToString(),
            spec_hash=name,
            units=job.resolution.units,
        )
        self.store.submit(new)
        return self.next_unit()

    def next_unit(self) -> tuple[Lease, Outcome]:
        """Do the next unit of whatever job there is."""
        lease = self.store.claim(f"claim-{next(self.claims)}", "w", "cpu", 60_000)
        assert lease is not None
        return lease, self.do(lease)

    def file(self, result: jobs_pb2.JobResult, role: str) -> bytes:
        (artifact,) = [artifact for artifact in result.artifacts if artifact.role == role]
        content = self.artifacts.get(TENANT, artifact.artifact.removeprefix("artifacts/"))
        assert len(content) == artifact.size_bytes
        return content

    def model(self, architecture: str = "mlp", *, seed: int = 0) -> jobs_pb2.ResolvedModel:
        sha256 = self.artifacts.put(TENANT, trained(architecture, seed))
        signature = models_pb2.ModelSignature(architecture=architecture, input_shape=[1, 8, 8], classes=10)
        return jobs_pb2.ResolvedModel(name=f"models/m{seed}", weights_sha256=sha256, signature=signature)


@pytest.fixture
def laboratory(job_store: JobStore, artifact_store: ArtifactStore) -> Laboratory:
    torch.set_num_threads(1)
    return Laboratory(job_store, artifact_store)


def digits(split: str = "test", offset: int = 0, count: int = 100) -> jobs_pb2.ResolvedData:
    source = datasets_pb2.DATASET_SOURCE_BUILT_IN
    chosen = jobs_pb2.ResolvedData(dataset="digits", source=source, split=split, offset=offset, count=count, classes=10)
    chosen.input_shape[:] = [1, 8, 8]
    return chosen


def attack_of(**kind: Any) -> attacks_pb2.Attack:
    """E.g. fgsm=attacks_pb2.Fgsm(...), untargeted."""
    return attacks_pb2.Attack(goal=attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted()), **kind)


FGSM = attack_of(fgsm=attacks_pb2.Fgsm(epsilon=0.1, norm=attacks_pb2.NORM_LINF))
PGD = attack_of(
    pgd=attacks_pb2.Pgd(
        epsilon=0.5,
        steps=5,
        step_size=0.2,
        restarts=3,
        random_start=True,
        loss=attacks_pb2.LOSS_MARGIN,
        norm=attacks_pb2.NORM_L2,
    )
)
BIM = attack_of(bim=attacks_pb2.Bim(epsilon=0.1, steps=8, step_size=0.02, norm=attacks_pb2.NORM_LINF))


def attack_job(
    model: jobs_pb2.ResolvedModel,
    attack: attacks_pb2.Attack,
    *,
    offset: int = 0,
    count: int = 100,
    batch_size: int = 20,
    shard_size: int = 40,
) -> jobs_pb2.Job:
    execution = jobs_pb2.Execution(batch_size=batch_size, shard_size=shard_size)
    selection = datasets_pb2.DataSelection(dataset="datasets/digits", split="test", offset=offset, count=count)
    spec = jobs_pb2.AttackSpec(model=model.name, data=selection, attack=attack, seed=2**63 + 5, execution=execution)
    shards = -(-count // shard_size)
    resolution = jobs_pb2.Resolution(models=[model], data=digits("test", offset, count), shards=shards, units=shards)
    return jobs_pb2.Job(attack=spec, resolution=resolution)


@pytest.fixture
def attack() -> Callable[..., jobs_pb2.Job]:
    """Make an attack's job from a resolved model and the name of the attack."""
    named = {"fgsm": FGSM, "bim": BIM, "pgd": PGD}
    return lambda model, name, **more: attack_job(model, named[name], **more)


@pytest.fixture
def evaluation() -> Callable[..., jobs_pb2.Job]:
    """Make an evaluation's job of FGSM and PGD (or of nothing) from resolved models."""

    def make(*given: jobs_pb2.ResolvedModel, attacks: bool = True, offset: int = 0, count: int = 100) -> jobs_pb2.Job:
        execution = jobs_pb2.Execution(batch_size=50, shard_size=50)
        spec = jobs_pb2.EvaluationSpec(
            models=[model.name for model in given], seed=1, execution=execution, attacks=[FGSM, PGD] if attacks else []
        )
        shards = -(-count // 50)
        data = digits("test", offset, count)
        resolution = jobs_pb2.Resolution(models=given, data=data, shards=shards, units=shards * len(given))
        return jobs_pb2.Job(evaluation=spec, resolution=resolution)

    return make


def training_job(*, judged: bool = True, hardened: bool = False, batch_size: int = 50) -> jobs_pb2.Job:
    defense = defenses_pb2.Defense(standard=defenses_pb2.StandardTraining())
    if hardened:
        label = defenses_pb2.ATTACK_LABEL_PREDICTED
        fgsm = defenses_pb2.FgsmAdversarialTraining(epsilon=0.05, alpha=0.5, attack_label=label)
        defense = defenses_pb2.Defense(fgsm_adversarial=fgsm)
    optimization = jobs_pb2.Optimization(
        epochs=2, batch_size=batch_size, learning_rate=0.02, optimizer=jobs_pb2.OPTIMIZER_ADAM,
        schedule=jobs_pb2.SCHEDULE_ONE_CYCLE,
    )  # fmt: skip
    spec = jobs_pb2.TrainingSpec(
        architecture="softmax_regression", defense=defense, optimization=optimization, seed=2, model_id="mine"
    )
    chosen = {"source": datasets_pb2.DATASET_SOURCE_BUILT_IN, "dataset": "digits", "classes": 10}
    learned = jobs_pb2.ResolvedData(split="train", offset=10, count=600, input_shape=[1, 8, 8], **chosen)
    test = jobs_pb2.ResolvedData(split="test", count=90, input_shape=[1, 8, 8], **chosen)
    resolution = jobs_pb2.Resolution(data=learned, evaluation_data=test if judged else None, shards=1, units=1)
    return jobs_pb2.Job(training=spec, resolution=resolution)


@pytest.fixture
def training() -> Callable[..., jobs_pb2.Job]:
    """Make the job of a short training on 600 digits, judged on 90."""
    return training_job


@pytest.fixture
def poisoning() -> jobs_pb2.Job:
    """The job of a backdoor in a tenth of 600 digits, and in none."""
    taught = training_job()
    poison = poisoning_pb2.Poison(backdoor=poisoning_pb2.Backdoor(trigger_label=7, trigger_size=2, trigger_value=1))
    spec = poisoning_pb2.PoisoningSpec(
        architecture="softmax_regression",
        optimization=taught.training.optimization,
        poison=poison,
        fractions=[0.0, 0.1],
        sanitizer=poisoning_pb2.SANITIZER_LOSS,
        seed=2,
    )
    resolution = jobs_pb2.Resolution()
    resolution.CopyFrom(taught.resolution)
    resolution.units = 2
    return jobs_pb2.Job(poisoning=spec, resolution=resolution)
