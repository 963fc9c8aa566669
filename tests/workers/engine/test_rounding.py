"""Adversarial examples as pictures of eight bits."""

from __future__ import annotations

import torch
from torch import nn

from workers.engine.attack import AttackPlan, run_attack
from workers.engine.rounding import outlives_rounding, rounded


def test_trap_07_grey_levels_are_rounded_not_cut_off():
    """0.9999 is white; every level is its own nearest."""
    assert (255 * rounded(torch.tensor([0.9999, 0.5019, 0.0019, 0.0021]))).round().tolist() == [255, 128, 0, 1]
    levels = torch.arange(256) / 255
    assert torch.equal((255 * rounded(levels)).round(), torch.arange(256).float())


def test_trap_07_success_is_checked_again_on_the_rounded_picture(small_net, pictures):
    """A wide ball survives eight bits; a ball of a tenth of a level is lost to them."""
    x, y = rounded(pictures[0]), pictures[1]
    with torch.no_grad():
        y = small_net(x).argmax(1)

    def rate(epsilon):
        plan = AttackPlan(name="bim", epsilon=epsilon, parameters={"steps": 10, "step_size": epsilon / 4})
        result = run_attack(small_net, x, y, plan, sample_ids=torch.arange(32), seed=0, batch_size=32)
        kept = outlives_rounding(small_net, result.x_adv, result.prediction, batch_size=7)
        return result.success, kept

    success, kept = rate(0.1)
    assert success.all()
    assert kept[success].float().mean() > 0.9
    tiny, kept_tiny = rate(0.1 / 255)
    assert not (kept_tiny & tiny).any(), "rounding gives back the clean picture"


class Steep(nn.Module):
    """Its answer turns at half a grey level."""

    def forward(self, x):
        z = 1e4 * (x.flatten(1).mean(dim=1) - 0.4 / 255)
        return torch.stack([torch.zeros_like(z), z], dim=1)


def test_trap_07_an_example_between_two_levels_does_not_outlive_rounding():
    """0.45 / 255 is beyond the boundary, and becomes 0."""
    x_adv = torch.full((1, 1, 2, 2), 0.45 / 255)
    assert Steep()(x_adv).argmax(1).item() == 1
    assert not outlives_rounding(Steep(), x_adv, torch.tensor([1]), batch_size=1).item()
