"""Decoupled direction and norm, step by step."""

from __future__ import annotations

import pytest
import torch

from workers.attacks import ddn
from workers.goals import Untargeted
from workers.threats import L2


def slope(w):
    """z = (0, w.x): the gradient is along w wherever one is."""

    def model(x):
        z = (x - 0.5).flatten(1) @ w
        return torch.stack([torch.zeros_like(z), z], dim=1)

    return model


def run(model, x, y, steps, *, seed=0, **changes):
    parameters = {"gamma": 0.05, "initial_norm": 0.2, **changes}
    generator = [torch.Generator().manual_seed(seed + row) for row in range(len(x))]
    return ddn(model, x, Untargeted(y), L2(1000.0), steps=steps, generator=generator, **parameters)


def test_the_sphere_grows_until_the_goal_is_reached_and_shrinks_after_it():
    """eps_0 = 0.2 and gamma = 0.05; the boundary is 0.25 away along w."""
    w = torch.randn(30, generator=torch.Generator().manual_seed(1))
    direction = w / w.norm()
    x = (0.5 - 0.25 * direction).unsqueeze(0)
    y = torch.zeros(1, dtype=torch.int64)
    assert slope(w)(x).argmax() == 0
    lengths = [(run(slope(w), x, y, steps) - x).norm().item() for steps in range(1, 9)]
    norm, expected = 0.2, []
    for _ in range(8):
        norm *= 0.95 if expected and expected[-1] > 0.25 else 1.05
        expected.append(norm)
    assert lengths == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(run(slope(w), x, y, 3) - x, expected[2] * direction, atol=1e-5)


def test_a_sample_without_a_gradient_moves_along_its_own_noise():
    """Trap 8: it is not frozen; the noise is the generator's, and that of others does not disturb it."""
    w, y = torch.zeros(36), torch.zeros(3, dtype=torch.int64)
    x = torch.full((3, 1, 6, 6), 0.5)
    first, again, other = (run(slope(w), x, y, 5, seed=seed) for seed in (0, 0, 10))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first[0], first[1])
    assert ((first - x).flatten(1).norm(dim=1) > 0.1).all()
    assert torch.equal(run(slope(w), x[:2], y[:2], 5), first[:2])


def test_no_sphere_is_larger_than_the_box():
    """An initial norm of 1000 does not end in NaN, and every point is in the box."""
    x = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    w = torch.randn(36, generator=torch.Generator().manual_seed(1))
    found = run(slope(w), x, slope(w)(x).argmax(dim=1), 4, initial_norm=1000.0)
    assert found.min() >= 0
    assert found.max() <= 1
