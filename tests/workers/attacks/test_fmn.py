"""The fast minimum-norm attack, step by step, in its four norms."""

from __future__ import annotations

import math

import pytest
import torch

from workers.attacks import fmn
from workers.goals import Untargeted
from workers.threats import BALLS

W = torch.tensor([3.0, -2.0, 1.0, 0.5, -0.25, 0.1])
DUAL = {"linf": 1, "l2": 2, "l1": math.inf}


def model(x):
    """z = (0, W.x - 1.5): the boundary is |1.5 - W.x| / |W|_q away."""
    z = x @ W - 1.5
    return torch.stack([torch.zeros_like(z), z], dim=1)


def run(x, norm, steps, **changes):
    parameters = {"initial_step": 1.0, "gamma_0": 0.05, **changes}
    ball = BALLS[norm](1e6)
    return fmn(model, x, Untargeted(torch.zeros(len(x), dtype=torch.int64)), ball, steps=steps, **parameters)


@pytest.mark.parametrize("norm", DUAL)
def test_the_first_ball_reaches_to_the_boundary_and_a_thousandth_beyond(norm):
    """eps_1 = |f| / |grad f|_q, which is exact for a linear model; the step of length 1 ends on its surface."""
    x = torch.full((1, 6), 0.4)
    truth = (1.5 - x @ W) / W.norm(DUAL[norm])
    found = run(x, norm, 1)
    assert BALLS[norm](1.0).distance(found, x) == pytest.approx(1.001 * truth.item(), rel=1e-4)


@pytest.mark.parametrize("norm", DUAL)
def test_ends_beside_the_boundary(norm):
    """After 40 steps and more the points that reach the goal are within a hundredth of the shortest way."""
    x = torch.full((1, 6), 0.4)
    truth = ((1.5 - x @ W) / W.norm(DUAL[norm])).item()
    points = [run(x, norm, steps) for steps in range(40, 50)]
    reached = [BALLS[norm](1.0).distance(point, x).item() for point in points if model(point).argmax() == 1]
    assert reached
    assert truth - 1e-5 <= min(reached) <= 1.01 * truth


def test_counts_pixels_in_l0():
    """It grows by one pixel a step at first, and takes those that the boundary depends on most."""
    x = torch.full((1, 6), 0.1)
    for steps in (1, 2):
        moved = (run(x, "l0", steps, initial_step=0.05) - x).abs() > 1e-6
        assert moved.squeeze(0).tolist() == [True] * (1 + steps) + [False] * (5 - steps)


def test_a_sample_without_a_gradient_stays_where_it_is():
    """Trap 8: no NaN, in none of the norms."""
    for norm, ball in BALLS.items():
        x = torch.rand(2, 6, generator=torch.Generator().manual_seed(1))
        flat = lambda point: torch.stack([torch.ones(len(point)), 0 * point.sum(dim=1)], dim=1)  # noqa: E731
        goal = Untargeted(torch.zeros(2, dtype=torch.int64))
        assert torch.equal(fmn(flat, x, goal, ball(1e6), steps=5, initial_step=1.0, gamma_0=0.05), x), norm
