"""Whatever an attack says of itself, a sample that breaks a promise does not count as a success."""

from __future__ import annotations

from dataclasses import replace

import torch
from safetensors.torch import load

from workers.run import shards


def test_a_sample_outside_the_box_is_no_success_though_the_attack_says_so(laboratory, attack, monkeypatch):
    honest = shards.run_attack

    def boastful(*arguments, **options):
        result = honest(*arguments, **options)
        outside = result.x_adv.index_fill(0, torch.tensor([3]), -0.01)
        return replace(result, x_adv=outside, success=torch.ones_like(result.success))

    monkeypatch.setattr(shards, "run_attack", boastful)
    result = laboratory.result(attack(laboratory.model(), "fgsm"))
    success = load(laboratory.file(result, "adversarial"))["success"]
    assert not success[3]
    # One of each shard, and there are three.
    assert success.sum() == 97
