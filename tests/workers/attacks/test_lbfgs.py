"""Szegedy's attack: what it minimises, how well, and for which weight."""

from __future__ import annotations

import importlib

import pytest
import torch
from scipy import optimize

from workers.attacks import lbfgs
from workers.goals import Targeted, Untargeted
from workers.threats import L2

# The package gives its name to the function.
MODULE = importlib.import_module("workers.attacks.lbfgs")


def net(seed=0):
    """A small net of 30 pixels and four classes."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(30, 16, generator=generator), torch.randn(16, 4, generator=generator)
    return lambda x: torch.tanh(0.3 * (x - 0.5) @ first) @ second


def test_escape_is_the_log_probability_of_any_other_class():
    """log(1 - p_y), also where p_y is 1 in float32."""
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    label = torch.arange(50) % 5
    p = logits.double().softmax(dim=1).gather(1, label.unsqueeze(1)).squeeze(1)
    assert torch.allclose(MODULE.escape(logits, label).double(), (1 - p).log(), atol=1e-5)
    sure = torch.tensor([[200.0, 0.0, 0.0]])
    assert MODULE.escape(sure, torch.tensor([0])).item() == pytest.approx(-200 + 0.6931, abs=1e-3)


@pytest.mark.parametrize("c", [0.05, 0.3])
def test_minimises_as_well_as_l_bfgs_b(c):
    """The value of c |r| + J in the box, sample by sample, against scipy's implementation with 20 iterations."""
    model = net()
    x = (2 * torch.rand(6, 30, generator=torch.Generator().manual_seed(1)) - 0.5).clamp(0, 1)
    goal = Targeted(model(x).argmin(dim=1))
    weights = torch.full((6,), c)
    start = goal.ascent(model, x)
    found, reached = MODULE._minimised(model, x, goal, weights, start=start, steps=40, loss=None)
    assert torch.equal(reached, goal.hit(model(found)))
    assert found.min() >= 0
    assert found.max() <= 1
    for row in range(6):
        own = goal.select(torch.tensor([row]))

        def value(flat, own=own, row=row):
            point = torch.tensor(flat, dtype=torch.float32).unsqueeze(0)
            ascent, r = own.ascent(model, point), point - x[row]
            slope = c * r / r.norm().clamp_min(1e-12) - ascent.gradient
            return (c * r.norm() - ascent.objective).item(), slope.squeeze(0).double().numpy()

        best = optimize.minimize(
            value, x[row].double().numpy(), jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 30, options={"maxiter": 20}
        )
        assert value(found[row].double().numpy())[0] <= best.fun + 0.02


@pytest.mark.parametrize("targeted", [True, False])
def test_finds_the_largest_weight_that_succeeds(targeted, monkeypatch):
    """The search ends between a weight that succeeds and one that is a few percent larger and does not."""
    model = net()
    x = torch.rand(5, 30, generator=torch.Generator().manual_seed(2))
    y = model(x).argmax(dim=1)
    goal = Targeted(model(x).topk(2, dim=1).indices[:, 1]) if targeted else Untargeted(y)
    rounds = []
    minimised = MODULE._minimised

    def watched(*arguments, **keywords):
        found = minimised(*arguments, **keywords)
        rounds.append((arguments[3], found[1]))
        return found

    monkeypatch.setattr(MODULE, "_minimised", watched)
    lbfgs(model, x, goal, L2(1000.0), steps=20, search_steps=10, initial_c=0.01)
    c, reached = (torch.stack(column) for column in zip(*rounds, strict=True))
    largest = torch.where(reached, c, 0).amax(dim=0)
    smallest = torch.where(reached, torch.inf, c).amin(dim=0)
    assert (largest > 0.01).all()
    assert (largest < smallest).all()
    assert (smallest <= 1.2 * largest).all()


def test_a_weight_that_never_succeeds_falls():
    """From far too much of it too, a way is found."""
    model = net()
    x = torch.rand(5, 30, generator=torch.Generator().manual_seed(2))
    goal = Untargeted(model(x).argmax(dim=1))
    found = lbfgs(model, x, goal, L2(1000.0), steps=20, search_steps=6, initial_c=1e4)
    assert goal.hit(model(found)).any()
