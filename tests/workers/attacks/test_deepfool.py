"""DeepFool: the nearest boundary, the classes it looks at, and what it costs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.engine.attack import AttackPlan, run_attack


class Linear(nn.Module):
    """z = W x with rows of very different lengths, so the likeliest rival is not the nearest."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(8)
        length = torch.tensor([1.0, 0.2, 1.0, 8.0, 3.0]).unsqueeze(1)
        self.w = nn.Parameter(length * torch.randn(5, 40, generator=generator))

    def forward(self, x):
        return (x - 0.5) @ self.w.T


def attack(model, x, y, norm, **changes):
    parameters = {"steps": 30, "overshoot": 0.02, "candidates": 10, **changes}
    plan = AttackPlan(name="deepfool", norm=norm, epsilon=1000.0 if norm == "l2" else 1.0, parameters=parameters)
    return run_attack(model, x, y, plan, sample_ids=torch.arange(len(y)), seed=1, batch_size=32)


@pytest.fixture
def samples():
    """Inputs so close to grey that no boundary is outside the box."""
    return 0.5 + 0.02 * torch.randn(10, 40, generator=torch.Generator().manual_seed(9))


def distances(model, x, y, norm):
    """(N, K) the way to the boundary with each class: |f_k| / |w_k|_q, infinite for the label."""
    z, w = model(x).detach(), model.w.detach()
    gap, slope = z.gather(1, y.unsqueeze(1)) - z, w.unsqueeze(0) - w[y].unsqueeze(1)
    return (gap / slope.norm(2 if norm == "l2" else 1, dim=2)).scatter(1, y.unsqueeze(1), torch.inf)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("overshoot", "error"), [(0.0, 2e-4), (0.02, 2e-4), (1.0, 2e-2)])
def test_finds_the_closed_form_optimum_whatever_the_overshoot(samples, norm, overshoot, error):
    """To the fourth digit where no other class lies behind the nearest: the rest is drawn back."""
    model = Linear()
    y = model(samples).argmax(dim=1)
    result = attack(model, samples, y, norm, overshoot=overshoot)
    truth, nearest = distances(model, samples, y, norm).min(dim=1)
    assert result.success.all()
    assert torch.allclose(result.distance, truth, rtol=error)
    assert overshoot == 1.0 or torch.equal(result.prediction, nearest)


def test_looks_at_the_likeliest_wrong_classes_only(samples):
    """With one candidate it goes to the second class, which is further than the nearest boundary."""
    model = Linear()
    z = model(samples)
    second = z.topk(2, dim=1).indices[:, 1]
    result = attack(model, samples, z.argmax(dim=1), "l2", candidates=1)
    way = distances(model, samples, z.argmax(dim=1), "l2")
    assert torch.allclose(result.distance, way.gather(1, second.unsqueeze(1)).squeeze(1), rtol=2e-4)
    assert (result.distance > 1.1 * way.min(dim=1).values).any()


@pytest.mark.parametrize(("candidates", "backwards"), [(0, 4), (2, 2), (10, 4)])
def test_costs_one_backward_for_each_wrong_class(samples, candidates, backwards):
    """The label's own needs none; 0 stands for all; a linear model takes one step."""
    model = Linear()
    result = attack(model, samples, model(samples).argmax(dim=1), "l2", candidates=candidates)
    assert (result.backwards == backwards).all()


def test_samples_that_are_done_leave(small_net, pictures):
    """Nobody pays for the steps of the others, and a batch ends with the last of them."""
    x, y = pictures
    result = attack(small_net, x, y, "linf")
    alone = attack(small_net, x[:1], y[:1], "linf")
    assert result.success.all()
    assert len(result.backwards.unique()) > 1
    assert alone.backwards[0] == result.backwards[0]
