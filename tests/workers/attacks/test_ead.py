"""The elastic-net attack: few pixels, by either rule."""

from __future__ import annotations

import pytest
import torch

from workers.attacks import ead
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.goals import Untargeted
from workers.losses import margin
from workers.threats import L1

PARAMETERS = {
    "search_steps": 4,
    "steps": 60,
    "learning_rate": 0.05,
    "confidence": 0.0,
    "initial_c": 1.0,
    "beta": 0.01,
    "rule": "en",
}


def attack(model, x, y, *, label=None, **changes):
    goal = GoalSpec() if label is None else GoalSpec(kind="label", label=label)
    plan = AttackPlan(name="ead", norm="l1", epsilon=1000.0, parameters={**PARAMETERS, **changes}, goal=goal)
    return run_attack(model, x, y, plan, sample_ids=torch.arange(len(y)), seed=1, batch_size=32)


def elastic(result, x, beta):
    change = (result.x_adv - x).flatten(1)
    return change.square().sum(dim=1) + beta * change.abs().sum(dim=1)


def test_each_rule_is_best_by_its_own_measure(small_net, pictures):
    """EN keeps the smallest elastic-net distance, L1 the smallest sum."""
    x, y = pictures[0][:10], pictures[1][:10]
    en, l1 = (attack(small_net, x, y, rule=rule, beta=0.1) for rule in ("en", "l1"))
    assert en.success.all()
    assert l1.success.all()
    assert (l1.distance <= en.distance * 1.001).all()
    assert (elastic(en, x, 0.1) <= elastic(l1, x, 0.1) * 1.001).all()
    assert (l1.distance < 0.999 * en.distance).any()


def test_a_larger_beta_changes_fewer_pixels(small_net, pictures):
    """Changes of at most beta are undone."""
    x, y = pictures[0][:10], pictures[1][:10]
    few, many = (((attack(small_net, x, y, beta=beta).x_adv - x).abs() > 1e-6).sum() for beta in (0.05, 0.0))
    assert 2 * few < many


def test_one_step_is_the_formula():
    """x_1 = S_beta(x + a c grad f), with x in the box and its corners."""
    w = torch.tensor([1.0, -0.5, 0.02, 1.0, -1.0, 0.0])

    def model(x):
        z = (x - 0.5) @ w - 10
        return torch.stack([torch.zeros_like(z), z], dim=1)

    x = torch.tensor([[0.4, 0.4, 0.4, 0.98, 0.0, 0.4]])
    goal = Untargeted(torch.tensor([0]))
    parameters = {**PARAMETERS, "search_steps": 1, "steps": 1, "initial_c": 2.0, "beta": 0.01}
    found = ead(model, x, goal, L1(1000.0), **parameters)
    moved = 0.05 * 2.0 * w  # a_0 c grad f; the distance has no slope at x
    expected = x + torch.where(moved.abs() > 0.01, moved - 0.01 * moved.sign(), 0)
    assert torch.allclose(found, expected.clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("label", [None, 2])
def test_confidence_is_the_margin_of_the_result(small_net, pictures, label):
    """Every success leads by kappa."""
    x, y = pictures[0][:8], pictures[1][:8]
    result = attack(small_net, x, y, label=label, confidence=0.1, search_steps=5)
    z = small_net(result.x_adv)
    lead = margin(z, y) if label is None else -margin(z, torch.full_like(y, 2))
    assert result.success.all()
    assert (lead >= 0.1 - 1e-4).all()
