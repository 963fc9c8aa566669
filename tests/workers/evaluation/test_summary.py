"""The files of a job: adversarial examples, JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from workers.evaluation import Shard, lean, summarize


@pytest.fixture
def attack_shards(make):
    """A selection in one piece, and the same in two."""
    labels, said = [0, 1, 2, 0], [1, 1, 2, 0]
    whole = make.clean(labels, pictures=4)
    pieces = [whole]
    for start in (0, 2):
        part = make.clean(labels[start : start + 2], start=start, pictures=2)
        part.x.copy_(whole.x[start : start + 2])
        pieces.append(part)
    runs = [said, said[:2], said[2:]]
    return [Shard(clean, (make.run(clean, run, keep=len(clean)),)) for clean, run in zip(pieces, runs, strict=True)]


def written(given):
    """The file of the adversarial examples, from shards that are lean as the closing unit's are."""
    file = summarize(replace(given, shards=[lean(shard, 1) for shard in given.shards])).adversarial
    return b"".join(file.parts(shard.runs[0].x_adv for shard in given.shards))


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_the_adversarial_file_is_the_same_for_any_shards_and_any_job_name(make, attack_shards):
    whole, first, second = attack_shards
    one = written(make.given([whole], [make.info()], kind="attack"))
    two = written(make.given([first, second], [make.info()], kind="attack", job="jobs/other"))
    assert digest(one) == digest(two)


def test_the_adversarial_file_is_what_safetensors_would_write(make, attack_shards):
    """Byte for byte, though it is never in memory whole; and as long as it says."""
    given = make.given(attack_shards[1:], [make.info()], kind="attack")
    data = written(given)
    assert save(load(data)) == data
    assert summarize(given).adversarial.size_bytes == len(data)


def test_the_adversarial_file_holds_the_selection_in_order(make, attack_shards):
    _, first, second = attack_shards
    tensors = load(written(make.given([first, second], [make.info()], kind="attack")))
    assert tensors["x_adv"].shape == (4, 1, 6, 6)
    assert tensors["x_adv"].dtype == torch.float32
    assert torch.equal(tensors["x_adv"][2:], second.runs[0].x_adv)
    assert tensors["index"].tolist() == [0, 1, 2, 3]
    assert tensors["prediction"].tolist() == [1, 1, 2, 0]
    assert tensors["success"].tolist() == [True, False, False, False]
    assert set(tensors) == {
        "x_adv", "index", "label", "clean_prediction", "prediction", "confidence", "success", "distance", "target",
    }  # fmt: skip


def test_an_attack_without_all_its_examples_is_refused(make):
    clean = make.clean([0, 1], pictures=2)
    with pytest.raises(ValueError, match="every sample"):
        written(make.given([Shard(clean, (make.run(clean, [1, 1], keep=1),))], [make.info()], kind="attack"))


def test_evaluations_have_no_adversarial_file(make, attack_shards):
    assert summarize(make.given(attack_shards[:1], [make.info()])).adversarial is None


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_metrics_are_strict_json_with_all_that_they_depend_on(make):
    clean = make.clean([0, 0])  # classes 1 and 2 have no samples
    run = make.run(clean, [0, 0], target=[0, 0])  # nothing to judge
    info = make.info(goal="label", goal_label=0)
    given = make.given([Shard(clean, (run,))], [info])
    document = json.loads(summarize(given).metrics_json, parse_constant=refuse)
    row = document["rows"][1]
    assert row["class_robust_accuracy"] == [None, None, None]
    assert row["robust_accuracy"] == {"value": 0.0, "low": 0.0, "high": 1.0, "count": 0, "of": 0}
    assert document["seed"] == 7
    assert document["runs"][0]["parameters"]["steps"] == 40
    assert document["models"][0]["weights_sha256"] == "ab" * 32
    assert document["provenance"] == {"torch": "2.13.0"}
    assert [warning["level"] for warning in document["warnings"]] == ["caution", "note"]


def test_warnings_of_the_summary_are_those_of_the_page(make, attack_shards):
    summary = summarize(make.given(attack_shards[:1], [make.info()]))
    assert summary.warnings
    assert all(warning.split(";")[0] in summary.report_html for warning in summary.warnings)
