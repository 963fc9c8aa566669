"""One shard of a job, asked for again as a job of its own, gives the same bytes: what `sparring verify` stands on."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd"])
@pytest.mark.parametrize("architecture", ["mlp", "wong_cnn"])
def test_a_shard_asked_for_alone_has_the_bytes_of_its_place_in_the_whole(laboratory, attack, name, architecture):
    model = laboratory.model(architecture)
    whole = laboratory.result(attack(model, name, offset=30, count=100), "whole")
    rows = load(laboratory.file(whole, "adversarial"))
    assert rows["success"].sum() > 20
    units = json.loads(laboratory.file(whole, "manifest"))["units"]
    assert [(unit["offset"], unit["count"]) for unit in units] == [(30, 40), (70, 40), (110, 20)]
    for unit in units:
        place = {"offset": unit["offset"], "count": unit["count"]}
        again = laboratory.result(attack(model, name, **place), f"again-{unit['unit']}")
        part = load(laboratory.file(again, "adversarial"))
        span = slice(unit["offset"] - 30, unit["offset"] - 30 + unit["count"])
        assert [key for key in rows if not torch.equal(rows[key][span], part[key])] == []


def test_a_unit_of_an_evaluation_asked_for_alone_measures_the_same(laboratory, evaluation):
    """All of it but the pictures, which a report shows of the first samples of a selection."""
    both = [laboratory.model(seed=0), laboratory.model(seed=1)]
    laboratory.result(evaluation(*both, offset=20), "whole")
    laboratory.result(evaluation(both[1], offset=70, count=50), "again")
    whole, again = (
        load(laboratory.artifacts.get("vision", laboratory.store.unit_results("vision", name)[unit].digest))
        for name, unit in (("whole", 3), ("again", 0))
    )
    measured = [key for key in whole if key.rpartition("/")[2] not in {"x", "x_adv"}]
    assert len(measured) > 20
    assert whole["run/a1/success"].any()
    assert [key for key in measured if not torch.equal(whole[key], again[key])] == []


def test_another_seed_or_another_place_gives_other_bytes(laboratory, attack):
    model = laboratory.model()
    job = attack(model, "pgd", count=20)
    first = load(laboratory.file(laboratory.result(job, "first"), "adversarial"))["x_adv"]
    job.attack.seed = 7
    assert not torch.equal(load(laboratory.file(laboratory.result(job, "seed"), "adversarial"))["x_adv"], first)
    moved = attack(model, "pgd", offset=20, count=20)
    assert not torch.equal(load(laboratory.file(laboratory.result(moved, "moved"), "adversarial"))["x_adv"], first)
