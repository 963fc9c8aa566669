"""An evaluation with a suite, from the request to the checklist in its result."""

from __future__ import annotations

import json

import pytest
from sparring.tensors import TensorFile, differing
from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2, suites_pb2

from services.gateway import catalog
from services.gateway.references import References
from services.gateway.resolve import resolve


@pytest.fixture
def asked(bench):
    """Resolve an evaluation of two models as the gateway does, their weights being in the store."""
    held = [bench.model(0), bench.model(1)]

    def job(**fields):
        models = {
            model.name: models_pb2.Model(
                name=model.name, weights=f"artifacts/{model.weights_sha256}", signature=model.signature
            )
            for model in held
        }
        spec = jobs_pb2.EvaluationSpec(
            **{
                "models": [model.name for model in held],
                "data": datasets_pb2.DataSelection(dataset="digits", split="test", count=60),
                "execution": jobs_pb2.Execution(batch_size=20, shard_size=40),
                "suite": suites_pb2.Suite(level=suites_pb2.Suite.LEVEL_QUICK, epsilon=0.1),
                **fields,
            }
        )
        found = References(models=models, datasets=dict(catalog.built_in_datasets()))
        return resolve(jobs_pb2.CreateJobRequest(evaluation=spec), found)

    return job


def test_the_result_answers_all_fourteen_points_for_every_model(bench, asked) -> None:
    result = bench.result(asked())
    assert sorted({item.point for item in result.checklist}) == list(range(1, 15))
    randomised = [item for item in result.checklist if item.key == "randomised"]
    assert [item.model for item in randomised] == ["models/m0", "models/m1"]
    assert all(item.status == jobs_pb2.ChecklistItem.STATUS_PASS for item in randomised)
    transfers = [item for item in result.checklist if item.key == "transfer"]
    assert all(item.status == jobs_pb2.ChecklistItem.STATUS_INFO and item.HasField("value") for item in transfers)
    failed = [item.key for item in result.checklist if item.status == jobs_pb2.ChecklistItem.STATUS_FAIL]
    assert failed == []
    document = json.loads(bench.file(result, "metrics"))
    assert [item["key"] for item in document["checklist"]] == [item.key for item in result.checklist]
    assert document["suite"] == {"level": "quick", "norm": "linf", "epsilon": 0.1, "attacks": 5, "curves": 1}
    assert [len(model["broken_by"]) for model in document["examples"]] == [60, 60]


def test_what_each_attack_broke_first_adds_up_to_the_worst_case(bench, asked) -> None:
    rows = [row for row in bench.result(asked()).rows if row.model == "models/m0"]
    clean, worst = (next(row for row in rows if row.attack == attack) for attack in ("clean", "worst_case"))
    broken = round(60 * (clean.robust_accuracy.value - worst.robust_accuracy.value))
    assert sum(row.broken_first for row in rows) == broken > 0


def test_one_unit_alone_gives_the_bytes_that_it_gave_in_the_whole(bench, asked, tmp_path) -> None:
    """`sparring verify` runs a unit again as a job of one model and one shard."""
    whole = asked()
    bench.result(whole, "whole")
    spec = jobs_pb2.EvaluationSpec()
    spec.CopyFrom(whole.evaluation)
    fields = {field.name: value for field, value in spec.ListFields()}
    fields |= {
        "models": ["models/m1"],
        "data": datasets_pb2.DataSelection(dataset="digits", split="test", offset=40, count=20),
    }
    bench.result(asked(**fields), "part")
    files = []
    for name, unit in (("whole", 3), ("part", 0)):
        digest = bench.store.unit_results("default", name)[unit].digest
        files.append(tmp_path / name)
        files[-1].write_bytes(bench.artifacts.get("default", digest))
    one, other = map(TensorFile, files)
    assert "probe/twice" in one.tensors
    assert "transfer/0" in one.tensors
    assert "transfer/0" not in other.tensors
    assert differing(one, other) == []


def test_what_was_adapted_takes_the_place_of_the_warning(bench, asked) -> None:
    plain = bench.result(asked(), "plain")
    assert any(warning.startswith("Non-adaptive") for warning in plain.warnings)
    words = suites_pb2.Adaptive(adapted="APGD through the noise.", knowledge="Everything is known.")
    told = bench.result(asked(adaptive=words), "told")
    assert not any(warning.startswith("Non-adaptive") for warning in told.warnings)
    item = next(item for item in told.checklist if item.key == "adaptive")
    assert "APGD through the noise." in item.text
