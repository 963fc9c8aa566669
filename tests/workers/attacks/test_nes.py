"""NES: the estimate of the gradient, and what its steps cost."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks.nes import nes
from workers.engine.attack import AttackPlan, run_attack
from workers.goals import Untargeted
from workers.threats import BALLS

SAMPLES, SIGMA = 25, 0.001


class Logged(nn.Module):
    """Two classes, linear, and every batch that was asked about."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.w = torch.randn(64, generator=torch.Generator().manual_seed(1))
        self.scale, self.batches = scale, []

    def forward(self, x):
        self.batches.append(x.clone())
        z = self.scale * (x.flatten(1) - 0.5) @ self.w
        return torch.stack([z, torch.zeros_like(z)], dim=1)


def grey(model, count=3):
    """Grey samples a little on the side of class 0."""
    return (0.5 + 0.01 * model.w.sign()).expand(count, -1).reshape(count, 1, 8, 8).contiguous()


def run(model, x, *, queries, norm="l2", epsilon=0.1, step_size=0.01, momentum=0.0, sigma=SIGMA):
    parameters = {"queries": queries, "samples": SAMPLES, "sigma": sigma, "step_size": step_size, "momentum": momentum}
    plan = AttackPlan(name="nes", norm=norm, epsilon=epsilon, parameters=parameters)
    y = torch.zeros(len(x), dtype=torch.int64)
    return run_attack(model, x, y, plan, sample_ids=torch.arange(len(x)), seed=1, batch_size=10_000)


def test_probes_are_antithetic_pairs_of_the_given_spread():
    """x + sigma u and x - sigma u, u standard normal, the same u for no two samples."""
    model = Logged()
    x = grey(model)
    run(model, x, queries=2 * SAMPLES + 1, epsilon=1e-3)
    pairs = ((model.batches[1].view(3, 2, SAMPLES, 64) - x.view(3, 1, 1, 64)) / SIGMA).double()
    assert torch.allclose(pairs[:, 0], -pairs[:, 1], atol=1e-3)
    assert pairs[:, 0].std().item() == pytest.approx(1, abs=0.03)
    assert pairs[:, 0].mean().item() == pytest.approx(0, abs=0.05)
    assert not torch.allclose(pairs[0, 0], pairs[1, 0], atol=0.1)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_estimate_points_along_the_gradient(scale):
    """25 pairs in 64 dimensions: the cosine is about sqrt(25 / (25 + 64)); also where the label is nearly certain."""
    model = Logged(scale)
    x = grey(model, 8)
    moved = (run(model, x, queries=2 * SAMPLES + 1).x_adv - x).flatten(1)
    cosine = torch.nn.functional.cosine_similarity(moved, -model.w.unsqueeze(0))
    assert cosine.mean().item() == pytest.approx((25 / 89) ** 0.5, abs=0.1)
    assert torch.allclose(moved.norm(dim=1), torch.full((8,), 0.01), atol=1e-5)


def test_momentum_averages_the_estimates():
    """With it the direction after some steps is nearer to the gradient than the last estimate by itself."""
    model = Logged()
    x = grey(model, 8)
    ends = {}
    for momentum in (0.0, 0.9):
        moved = (run(model, x, queries=10 * (2 * SAMPLES + 1), step_size=1e-3, momentum=momentum).x_adv - x).flatten(1)
        ends[momentum] = (moved @ -model.w).mean()
    assert ends[0.9] > 1.2 * ends[0.0]


def test_a_last_step_makes_do_with_fewer_pairs():
    """71 queries are one step of 51 and one of 9 pairs; two are too few for any."""
    model = Logged()
    x = grey(model)
    result = run(model, x, queries=71, epsilon=1e-3)
    assert [len(batch) // 3 for batch in model.batches][:5] == [1, 50, 1, 18, 1]
    assert (result.forwards <= 1 + 70 + 2).all()
    model.batches.clear()
    idle = run(model, x, queries=2, epsilon=1e-3)
    assert [len(batch) // 3 for batch in model.batches] == [1, 1]
    assert torch.equal(idle.x_adv, x)


def test_a_sample_that_is_done_is_not_asked_about_again():
    """Those that break early cost what they cost by then, beside one that never does."""
    model = Logged()
    x = torch.cat([grey(model, 2), (0.5 + 0.4 * model.w.sign()).view(1, 1, 8, 8)])
    result = run(model, x, queries=1000, norm="linf", epsilon=0.05, step_size=0.005, momentum=0.9)
    assert result.success.tolist() == [True, True, False]
    assert (result.forwards[:2] < 500).all()
    assert result.forwards[2] >= 900


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_stays_in_ball_and_box(norm):
    """At the corner of the box too; the probes, which leave it, are never the result."""
    model = Logged()
    x = (model.w < 0).float().expand(2, -1).reshape(2, 1, 8, 8).contiguous()
    ball = BALLS[norm](0.2)
    generator = [torch.Generator().manual_seed(i) for i in range(2)]
    found = nes(
        model,
        x,
        Untargeted(torch.ones(2, dtype=torch.int64)),
        ball,
        queries=500,
        samples=SAMPLES,
        sigma=0.05,
        step_size=0.05,
        momentum=0.5,
        generator=generator,
    )
    assert (ball.distance(found, x) <= 0.2 + 1e-6).all()
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert max(batch.max().item() for batch in model.batches) > 1
