"""Units from their job's message to their outcome, with a real store and without processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from safetensors.torch import load
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2, models_pb2

from services.artifacts.store import ArtifactStore
from services.errors import ResourceExhausted
from services.jobs.record import JobRecord, NewJob, WorkerRecord
from services.jobs.states import State
from services.jobs.store import JobStore
from workers import models
from workers.lease import Drain, Draining, Heartbeat, Limits, Presence, Worker
from workers.run import Context, run_unit
from workers.run.cache import Cache
from workers.run.reasons import explain

SIGNATURE = models.Signature("softmax_regression", (1, 8, 8), 10)
UNTARGETED = attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted())
FGSM = attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(epsilon=0.1, norm=attacks_pb2.NORM_LINF), goal=UNTARGETED)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Bench:
    """One worker that is no process, and jobs as the gateway would have resolved them."""

    def __init__(self, store: JobStore, artifacts: ArtifactStore, folder: Path) -> None:
        self.store, self.artifacts = store, artifacts
        self.context = Context(store=store, artifacts=artifacts, device=torch.device("cpu"))
        self.drain = Drain(folder / "drain")

    def submit(self, job: jobs_pb2.Job, name: str = "job") -> None:
        kind = job.WhichOneof("spec")
        new = NewJob(id=name, kind=kind, spec=job.SerializeToString(), spec_hash=name, units=job.resolution.units)
        self.store.submit(new)

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
        return said(Status.FromString(record.error))

    def file(self, result: jobs_pb2.JobResult, role: str) -> bytes:
        name = next(artifact.artifact for artifact in result.artifacts if artifact.role == role)
        return self.artifacts.get(name.removeprefix("artifacts/"))

    def model(self, seed: int = 0) -> jobs_pb2.ResolvedModel:
        sha256 = self.artifacts.put(models.save(models.build(SIGNATURE, seed=seed)))
        signature = models_pb2.ModelSignature(architecture="softmax_regression", input_shape=[1, 8, 8], classes=10)
        return jobs_pb2.ResolvedModel(name=f"models/m{seed}", weights_sha256=sha256, signature=signature)


@pytest.fixture
def bench(job_store: JobStore, artifact_store: ArtifactStore, tmp_path: Path) -> Bench:
    return Bench(job_store, artifact_store, tmp_path)


def said(status: Status) -> tuple[str, str]:
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason, status.message


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
    )
    spec = jobs_pb2.TrainingSpec(
        architecture="softmax_regression", defense=defense, optimization=optimization, seed=2, model_id="mine"
    )
    data, judged = digits("train", 600), digits("test", 100)
    return jobs_pb2.Job(
        training=spec, resolution=jobs_pb2.Resolution(data=data, evaluation_data=judged, shards=1, units=1)
    )


STANDARD = defenses_pb2.Defense(standard=defenses_pb2.StandardTraining())
HARDENED = defenses_pb2.Defense(
    fgsm_adversarial=defenses_pb2.FgsmAdversarialTraining(
        epsilon=0.05, alpha=0.5, attack_label=defenses_pb2.ATTACK_LABEL_PREDICTED
    )
)


def test_an_attack_leaves_examples_report_and_figures(bench: Bench) -> None:
    result = bench.result(attack_job(bench.model()))
    assert [row.attack for row in result.rows] == ["clean", "fgsm"]
    assert result.rows[1].n == 100
    assert result.rows[1].norm == attacks_pb2.NORM_LINF
    assert result.rows[1].parameters == FGSM
    assert not result.rows[0].HasField("parameters")
    examples = load(bench.file(result, "adversarial"))
    assert examples["x_adv"].shape == (100, 1, 8, 8)
    assert examples["index"].tolist() == list(range(100))
    assert "a &lt;b&gt;" in bench.file(result, "report").decode()
    assert json.loads(bench.file(result, "metrics"))["seed"] == 5
    assert result.provenance["device"] == "cpu"


def test_shards_are_functions_of_the_plan_alone(bench: Bench) -> None:
    job = attack_job(bench.model())
    bench.result(job, "one")
    bench.result(job, "two")
    first, second = (bench.store.unit_results("default", name) for name in ("one", "two"))
    assert [unit.digest for unit in first] == [unit.digest for unit in second]
    assert len({unit.digest for unit in first}) == 3
    assert all(unit.stats["seconds"]["a0"] > 0 for unit in first)


def test_an_evaluation_without_attacks_still_has_its_clean_rows(bench: Bench) -> None:
    spec = jobs_pb2.EvaluationSpec(execution=jobs_pb2.Execution(batch_size=50, shard_size=50))
    both = [bench.model(0), bench.model(1)]
    resolution = jobs_pb2.Resolution(models=both, data=digits(), shards=2, units=4)
    result = bench.result(jobs_pb2.Job(evaluation=spec, resolution=resolution))
    assert [(row.model, row.attack, row.n) for row in result.rows] == [
        ("models/m0", "clean", 100),
        ("models/m1", "clean", 100),
    ]
    assert {artifact.role for artifact in result.artifacts} == {"report", "metrics"}


def test_a_training_registers_its_model_and_judges_it(bench: Bench) -> None:
    result = bench.result(training_job(STANDARD))
    model = models_pb2.Model.FromString(bench.store.lookup("default", "model", "mine"))
    assert (model.name, model.job, model.defense) == ("models/mine", "jobs/job", "standard")
    assert model.state == models_pb2.Model.STATE_READY
    assert model.parameters == 650
    assert result.model == "models/mine"
    assert f"artifacts/{bench.store.unit_results('default', 'job')[0].digest}" == model.weights
    assert result.rows[0].clean_accuracy.value > 0.7
    assert len(result.rows) == 1


def test_an_adversarial_training_is_judged_at_its_own_radius(bench: Bench) -> None:
    result = bench.result(training_job(HARDENED))
    assert [(row.attack, row.epsilon) for row in result.rows[:3]] == [("clean", 0), ("fgsm", 0.05), ("pgd", 0.05)]
    assert result.rows[2].parameters.pgd.steps == 10


def test_a_name_that_was_taken_meanwhile_gives_way_to_the_job_s(bench: Bench) -> None:
    bench.result(training_job(STANDARD), "first")
    assert bench.result(training_job(STANDARD), "second").model == "models/second"


def test_without_test_data_the_model_is_kept_and_the_result_says_so(bench: Bench) -> None:
    job = training_job(STANDARD, epochs=1)
    job.resolution.ClearField("evaluation_data")
    result = bench.result(job)
    assert [artifact.role for artifact in result.artifacts] == ["weights"]
    assert "not judged" in result.warnings[0]


class Interrupting:
    """A heartbeat that orders a stop five ticks after the second checkpoint."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat, self._checkpoints, self._ticks = heartbeat, 0, 5

    def __getattr__(self, name: str):
        return getattr(self._heartbeat, name)

    def keep_checkpoint(self, digest: str) -> None:
        self._checkpoints += 1
        self._heartbeat.keep_checkpoint(digest)

    def tick(self, fraction: float, message: str = "") -> None:
        self._ticks -= self._checkpoints >= 2
        if self._ticks < 0:
            raise Draining
        self._heartbeat.tick(fraction, message)


@pytest.mark.parametrize("defense", [STANDARD, HARDENED], ids=["standard", "hardened"])
def test_a_training_that_was_stopped_ends_with_the_same_weights(bench: Bench, defense: defenses_pb2.Defense) -> None:
    job = training_job(defense)
    bench.result(job, "whole")
    bench.submit(job, "stopped")
    lease = bench.store.claim("c", "w", "cpu", 60_000)
    assert lease is not None
    with Heartbeat(bench.store, lease, "w", limits=Limits(), drain=Drain()) as heartbeat, pytest.raises(Draining):
        run_unit(lease, Interrupting(heartbeat), bench.context)
    bench.store.release(lease, "w")
    claimed = bench.store.claim("d", "w", "cpu", 60_000)
    assert claimed is not None
    assert claimed.checkpoint is not None
    bench.store.release(claimed, "w")
    bench.serve()
    whole, stopped = (bench.store.unit_results("default", name)[0] for name in ("whole", "stopped"))
    assert whole.digest == stopped.digest


@pytest.mark.parametrize("kept", [False, True], ids=["gone", "of another version"])
def test_a_checkpoint_that_can_not_be_used_costs_time_only(bench: Bench, *, kept: bool) -> None:
    job = training_job(STANDARD)
    bench.result(job, "whole")
    digest = bench.artifacts.put(b"not what a training writes today") if kept else "0" * 64
    bench.submit(job, "stopped")
    lease = bench.store.claim("c", "w", "cpu", 60_000)
    assert lease is not None
    bench.store.renew(lease, "w", 60_000, checkpoint=digest)
    bench.store.release(lease, "w")
    bench.serve()
    whole, stopped = (bench.store.unit_results("default", name)[0] for name in ("whole", "stopped"))
    assert whole.digest == stopped.digest


def test_only_the_last_checkpoint_is_kept(bench: Bench, redis) -> None:
    bench.result(training_job(STANDARD, epochs=6))
    assert len(redis.keys("{sparring}:a:*:m")) == 1 + 3


def test_a_store_without_room_for_checkpoints_stops_no_training(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    put = bench.artifacts.put

    def full(data: bytes, media_type: str = "", ttl_s: float | None = None) -> str:
        if ttl_s is not None:
            raise ResourceExhausted("the store is full")
        return put(data, media_type)

    monkeypatch.setattr(bench.artifacts, "put", full)
    assert bench.result(training_job(STANDARD)).model == "models/mine"


def test_weights_that_are_gone_fail_the_job_with_their_name(bench: Bench) -> None:
    model = bench.model()
    bench.artifacts.delete(model.weights_sha256)
    reason, message = bench.failure(attack_job(model))
    assert reason == "ARTIFACT_MISSING"
    assert "models/m0" in message
    assert model.weights_sha256 in message


def test_weights_that_are_damaged_fail_the_job(bench: Bench, redis) -> None:
    model = bench.model()
    redis.setrange("{sparring}:a:" + model.weights_sha256 + ":0", 200, b"\0\1\2\3")
    assert bench.failure(attack_job(model))[0] == "ARTIFACT_DAMAGED"


def test_weights_that_do_not_fit_fail_the_job(bench: Bench) -> None:
    model = bench.model()
    model.signature.architecture = "mlp"
    assert bench.failure(attack_job(model))[0] == "MODEL_DOES_NOT_FIT"


def test_an_attack_too_large_for_one_artifact_is_refused_before_it_runs(bench: Bench) -> None:
    bench.context = Context(
        store=bench.store, artifacts=bench.artifacts, device=torch.device("cpu"), max_artifact_bytes=20_000
    )
    reason, message = bench.failure(attack_job(bench.model()))
    assert reason == "RESULT_TOO_LARGE"
    assert "25600 bytes" in message


def test_what_nobody_foresaw_fails_the_job_and_goes_into_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("workers.run.shards.pack", lambda _: 1 / 0)
    reason, message = bench.failure(attack_job(bench.model()))
    assert reason == "INTERNAL_ERROR"
    assert message.startswith("ZeroDivisionError: division by zero")
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_running_out_of_memory_says_which_number_to_change(error: Exception) -> None:
    training = jobs_pb2.TrainingSpec(optimization=jobs_pb2.Optimization(batch_size=512))
    reason, message = said(explain(error, jobs_pb2.Job(training=training)))
    assert reason == "OUT_OF_MEMORY"
    assert "optimization.batch_size smaller than 512" in message
    attack = jobs_pb2.AttackSpec(execution=jobs_pb2.Execution(batch_size=64))
    assert "execution.batch_size smaller than 64" in said(explain(error, jobs_pb2.Job(attack=attack)))[1]


def test_a_cache_keeps_what_was_used_last() -> None:
    made: list[str] = []
    cache: Cache[SimpleNamespace] = Cache(2)

    def get(key: str) -> SimpleNamespace:
        return cache.get(key, lambda: made.append(key) or SimpleNamespace())

    a = get("a")
    get("b")
    assert get("a") is a
    get("c")
    assert get("a") is a
    get("b")
    assert made == ["a", "b", "c", "b"]
