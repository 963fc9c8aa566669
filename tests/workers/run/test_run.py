"""Units from their job's message to their outcome, with a real store and without processes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load
from sparring.v1 import attacks_pb2, jobs_pb2

from workers import models
from workers.run import Context
from workers.run.cache import Cache
from workers.run.reasons import explain

SIGNATURE = models.Signature("softmax_regression", (1, 8, 8), 10)
UNTARGETED = attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted())
FGSM = attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(epsilon=0.1, norm=attacks_pb2.NORM_LINF), goal=UNTARGETED)


def test_an_attack_leaves_examples_report_and_figures(bench, make) -> None:
    result = bench.result(make.attack(bench.model()))
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


def test_shards_are_functions_of_the_plan_alone(bench, make) -> None:
    job = make.attack(bench.model())
    bench.result(job, "one")
    bench.result(job, "two")
    first, second = (bench.store.unit_results("default", name) for name in ("one", "two"))
    assert [unit.digest for unit in first] == [unit.digest for unit in second]
    assert len({unit.digest for unit in first}) == 3
    assert all(unit.stats["seconds"]["a0"] > 0 for unit in first)


def test_an_evaluation_without_attacks_still_has_its_clean_rows(bench, make) -> None:
    spec = jobs_pb2.EvaluationSpec(execution=jobs_pb2.Execution(batch_size=50, shard_size=50))
    both = [bench.model(0), bench.model(1)]
    resolution = jobs_pb2.Resolution(models=both, data=make.digits(), shards=2, units=4)
    result = bench.result(jobs_pb2.Job(evaluation=spec, resolution=resolution))
    assert [(row.model, row.attack, row.n) for row in result.rows] == [
        ("models/m0", "clean", 100),
        ("models/m1", "clean", 100),
    ]
    assert {artifact.role for artifact in result.artifacts} == {"report", "metrics", "markdown", "verdicts", "manifest"}


def test_weights_that_are_gone_fail_the_job_with_their_name(bench, make) -> None:
    model = bench.model()
    bench.artifacts.delete("default", model.weights_sha256)
    reason, message = bench.failure(make.attack(model))
    assert reason == "ARTIFACT_MISSING"
    assert "models/m0" in message
    assert model.weights_sha256 in message


def test_weights_that_are_damaged_fail_the_job(bench, make, redis) -> None:
    model = bench.model()
    redis.setrange("{sparring}:a:default:" + model.weights_sha256 + ":0", 200, b"\0\1\2\3")
    assert bench.failure(make.attack(model))[0] == "ARTIFACT_DAMAGED"


def test_weights_that_do_not_fit_fail_the_job(bench, make) -> None:
    model = bench.model()
    model.signature.architecture = "mlp"
    assert bench.failure(make.attack(model))[0] == "MODEL_DOES_NOT_FIT"


def test_an_attack_too_large_for_one_artifact_is_refused_before_it_runs(bench, make) -> None:
    bench.context = Context(
        store=bench.store, artifacts=bench.artifacts, device=torch.device("cpu"), max_artifact_bytes=20_000
    )
    reason, message = bench.failure(make.attack(bench.model()))
    assert reason == "RESULT_TOO_LARGE"
    assert "25600 bytes" in message


def test_what_nobody_foresaw_fails_the_job_and_goes_into_the_log(
    bench, make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("workers.run.shards.pack", lambda _: 1 / 0)
    reason, message = bench.failure(make.attack(bench.model()))
    assert reason == "INTERNAL_ERROR"
    assert message.startswith("ZeroDivisionError: division by zero")
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_running_out_of_memory_says_which_number_to_change(bench, error: Exception) -> None:
    training = jobs_pb2.TrainingSpec(optimization=jobs_pb2.Optimization(batch_size=512))
    reason, message = bench.said(explain(error, jobs_pb2.Job(training=training)))
    assert reason == "OUT_OF_MEMORY"
    assert "optimization.batch_size smaller than 512" in message
    attack = jobs_pb2.AttackSpec(execution=jobs_pb2.Execution(batch_size=64))
    assert "execution.batch_size smaller than 64" in bench.said(explain(error, jobs_pb2.Job(attack=attack)))[1]


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
