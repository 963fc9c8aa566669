"""The manifest: complete, canonical, and the same bytes however often its job is closed."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from sparring.v1 import jobs_pb2

from workers import data
from workers.evaluation.proof import KINDS
from workers.lease import Finished
from workers.run import manifest, versions

SOUND = dict.fromkeys(KINDS, 0)
FIELDS = {
    "version", "job", "kind", "spec", "seed", "inputs", "evaluation_inputs", "models", "units", "artifacts", "checks",
    "code", "packages", "device",
}  # fmt: skip


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def inputs_of(split: str, offset: int, count: int) -> dict[str, object]:
    """The digests as a reader of the manifest would make them."""
    chosen = data.builtin("digits", split).select(offset, count)
    x, y = chosen.pixels(slice(None)).numpy(), chosen.y.numpy()
    place = {"dataset": "digits", "split": split, "offset": offset, "count": count}
    return place | {"x_sha256": sha256(x.tobytes()), "y_sha256": sha256(y.tobytes())}


def test_an_attack_s_manifest_says_what_went_in_and_what_came_out(laboratory, attack):
    model = laboratory.model()
    result = laboratory.result(attack(model, "pgd", offset=30))
    document = json.loads(laboratory.file(result, "manifest"))
    assert set(document) == FIELDS
    assert (document["version"], document["job"], document["kind"]) == (1, "jobs/job", "attack")
    assert document["seed"] == 2**63 + 5
    assert document["spec"]["attack"]["seed"] == str(2**63 + 5)
    assert document["spec"]["attack"]["attack"]["pgd"]["step_size"] == 0.2
    assert document["spec"]["resolution"]["data"]["input_shape"] == [1, 8, 8]
    assert document["inputs"] == inputs_of("test", 30, 100)
    assert document["evaluation_inputs"] is None
    (described,) = document["models"]
    assert (described["name"], described["weights_sha256"]) == ("models/m0", model.weights_sha256)
    assert (described["architecture"], described["input_shape"], described["classes"]) == ("mlp", [1, 8, 8], 10)
    committed = laboratory.store.unit_results("vision", "job")
    assert [unit["sha256"] for unit in document["units"]] == [unit.digest for unit in committed]
    assert document["checks"] == {"samples": 100, "violations": SOUND}


def test_every_other_file_is_listed_with_its_digest(laboratory, attack):
    result = laboratory.result(attack(laboratory.model(), "fgsm"))
    listed = json.loads(laboratory.file(result, "manifest"))["artifacts"]
    assert [one["role"] for one in listed] == ["adversarial", "report", "metrics", "markdown", "verdicts"]
    for one in listed:
        content = laboratory.file(result, one["role"])
        assert (one["sha256"], one["size_bytes"]) == (sha256(content), len(content))
    last = result.artifacts[-1]
    assert (last.role, last.filename) == ("manifest", "job-manifest.json")


def test_it_names_code_packages_and_device(laboratory, attack):
    document = json.loads(laboratory.file(laboratory.result(attack(laboratory.model(), "fgsm")), "manifest"))
    assert document["code"] == {"sparring": version("sparring"), "source_sha256": versions.source_sha256()}
    assert document["packages"]["torch"] == version("torch")
    drawing = {"matplotlib", "scikit-learn"}
    assert set(document["packages"]) == {"python", "torch", "torchvision", "numpy", "safetensors", "protobuf"} | drawing
    assert (document["device"]["lane"], document["device"]["threads"]) == ("cpu", 1)
    assert document["device"]["name"]


def test_it_is_canonical_json(laboratory, attack):
    content = laboratory.file(laboratory.result(attack(laboratory.model(), "bim")), "manifest")
    assert manifest.canonical(json.loads(content)) == content
    assert manifest.canonical({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        manifest.canonical({"a": float("nan")})


def test_an_evaluation_lists_every_model_and_unit_and_counts_every_run(laboratory, evaluation):
    result = laboratory.result(evaluation(laboratory.model(seed=0), laboratory.model(seed=1)))
    document = json.loads(laboratory.file(result, "manifest"))
    assert [model["name"] for model in document["models"]] == ["models/m0", "models/m1"]
    places = [(unit["unit"], unit["model"], unit["offset"], unit["count"]) for unit in document["units"]]
    assert places == [
        (0, "models/m0", 0, 50),
        (1, "models/m0", 50, 50),
        (2, "models/m1", 0, 50),
        (3, "models/m1", 50, 50),
    ]
    assert document["checks"] == {"samples": 2 * 2 * 100, "violations": SOUND}


@pytest.mark.parametrize("hardened", [False, True], ids=["standard", "hardened"])
def test_a_training_s_manifest_has_both_selections_and_the_weights(laboratory, training, hardened):
    result = laboratory.result(training(hardened=hardened))
    document = json.loads(laboratory.file(result, "manifest"))
    weights = sha256(laboratory.file(result, "weights"))
    assert set(document) == FIELDS
    assert document["inputs"] == inputs_of("train", 10, 600)
    assert document["evaluation_inputs"] == inputs_of("test", 0, 90)
    (made,) = document["models"]
    assert (made["name"], made["weights_sha256"]) == ("jobs/job", weights)
    assert made["defense"] == ("fgsm_adversarial" if hardened else "standard")
    assert document["units"] == [{"unit": 0, "model": "jobs/job", "offset": 10, "count": 600, "sha256": weights}]
    assert [one["role"] for one in document["artifacts"]] == ["report", "metrics", "markdown", "weights"]
    assert document["checks"] == {"samples": 180 if hardened else 0, "violations": SOUND}


def test_a_training_that_was_not_judged_has_a_manifest_too(laboratory, training):
    result = laboratory.result(training(judged=False))
    document = json.loads(laboratory.file(result, "manifest"))
    assert document["evaluation_inputs"] is None
    assert [one["role"] for one in document["artifacts"]] == ["weights"]
    assert document["checks"]["samples"] == 0


@pytest.mark.parametrize("kind", ["attack", "evaluation", "training", "poisoning"])
def test_a_closing_unit_that_is_done_again_writes_the_same_bytes(laboratory, kind, request):
    """Every file of it: a worker may die after its files were put, and another one does it all again."""
    model, make = laboratory.model(), request.getfixturevalue(kind)
    job = {
        "attack": lambda: make(model, "pgd"),
        "evaluation": lambda: make(model),
        "training": lambda: make(hardened=True),
        "poisoning": lambda: make,
    }[kind]()
    first = laboratory.result(job)
    again = laboratory.do(laboratory.leases[0])
    assert isinstance(again, Finished)
    second = jobs_pb2.JobResult.FromString(again.result)
    assert [file.artifact for file in second.artifacts] == [file.artifact for file in first.artifacts]
    assert "manifest" in {file.role for file in second.artifacts}


def test_a_training_s_table_still_says_how_long_it_took(laboratory, training):
    rows = laboratory.result(training(hardened=True)).rows
    assert [row.attack for row in rows[:3]] == ["clean", "fgsm", "pgd"]
    assert all(row.seconds > 0 for row in rows[1:3])
    worst = next(row for row in rows if row.attack == "worst_case")
    assert worst.seconds == pytest.approx(rows[1].seconds + rows[2].seconds)


def test_the_digest_of_the_source_is_that_of_the_files(monkeypatch, tmp_path):
    for path, content in (("services/a.py", b"one"), ("services/b/c.py", b"two"), ("workers/d.py", b"three")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "workers/notes.txt").write_bytes(b"no source")
    monkeypatch.setattr(versions, "files", lambda package: tmp_path / package)
    before = versions.source_sha256.__wrapped__()
    expected = hashlib.sha256()
    for path, content in (("services/a.py", b"one"), ("services/b/c.py", b"two"), ("workers/d.py", b"three")):
        expected.update(path.encode() + b"\0" + hashlib.sha256(content).digest())
    assert before == expected.hexdigest()
    (tmp_path / "workers/d.py").write_bytes(b"four")
    assert versions.source_sha256.__wrapped__() != before


def test_a_manifest_of_a_mean_that_is_no_number_is_still_json(laboratory, attack):
    """Protobuf writes NaN as a text; nothing else of a job may be NaN."""
    job = attack(laboratory.model(), "fgsm", count=20)
    job.resolution.giga_ops = float("nan")
    document = json.loads(laboratory.file(laboratory.result(job), "manifest"))
    assert document["spec"]["resolution"]["giga_ops"] == "NaN"
    assert torch.get_num_threads() == document["device"]["threads"]


def test_the_example_in_the_docs_has_the_fields_of_a_real_one(laboratory, attack):
    text = (Path(__file__).parents[4] / "docs" / "manifest.md").read_text(encoding="utf-8")
    shown = json.loads(text.partition("```json\n")[2].partition("```")[0])
    real = json.loads(laboratory.file(laboratory.result(attack(laboratory.model(), "fgsm")), "manifest"))
    assert set(shown) == set(real)
    for name in ("inputs", "checks", "code", "packages", "device"):
        assert set(shown[name]) == set(real[name])
    for name in ("models", "units", "artifacts"):
        assert set(shown[name][0]) == set(real[name][0])
    assert all(f"`{name}`" in text.partition("## The fields")[2] for name in real)
    assert all(f"| `{kind}` |" in text for kind in KINDS)
