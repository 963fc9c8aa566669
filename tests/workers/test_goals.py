"""The goals: who owns the sign, and what the gradient touches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.goals import Targeted, Untargeted
from workers.losses import LOSSES, TARGETED_LOSSES, margin


@pytest.mark.parametrize("name", LOSSES)
def test_trap_14_a_small_step_up_the_gradient_serves_the_goal(small_net, pictures, name):
    """Untargeted: away from the label; targeted: towards the target. The attack flips no sign."""
    x, y = pictures
    target = (y + 1) % 6
    away, towards = LOSSES[name], TARGETED_LOSSES[name]
    cases = ((Untargeted(y, away), away, y, 1), (Targeted(target, towards), towards, target, -1))
    for goal, loss, label, sign in cases:
        step = 1e-4 * goal.gradient(small_net, x).sign()
        before, after = (loss(small_net(p), label) for p in (x, x + step))
        assert (sign * (after - before) > 0).all()


def test_reached_is_about_the_prediction():
    """Untargeted: any other class; targeted: that class."""
    logits = torch.tensor([[3.0, 1.0], [1.0, 3.0]])
    label = torch.tensor([0, 0])
    assert Untargeted(label).reached(logits).tolist() == [False, True]
    assert Targeted(label).reached(logits).tolist() == [True, False]


def test_a_goal_goes_with_its_samples():
    """Some of them, or all of them several times over; the loss goes along."""
    goal = Targeted(torch.tensor([4, 5, 6]), margin)
    assert goal.select(torch.tensor([2, 0])).label.tolist() == [6, 4]
    assert goal.repeat(2).label.tolist() == [4, 5, 6, 4, 5, 6]
    assert goal.select(torch.tensor([1])).loss is goal.repeat(3).loss is margin


def test_trap_03_the_gradient_leaves_the_parameters_alone(small_net, pictures):
    """`grad` that was None stays None, `grad` that was set keeps its bits."""
    x, y = pictures
    small_net[0].weight.grad = kept = torch.ones_like(small_net[0].weight)
    Untargeted(y).gradient(small_net, x)
    assert small_net[0].weight.grad is kept
    assert torch.equal(kept, torch.ones_like(kept))
    assert small_net[2].weight.grad is None


def test_each_sample_has_the_gradient_it_has_alone(small_net, pictures):
    """A sum over the batch, not a mean: no sample's gradient depends on how many others there are."""
    x, y = pictures
    together = Untargeted(y).gradient(small_net, x)
    alone = Untargeted(y[:1]).gradient(small_net, x[:1])
    assert torch.allclose(together[:1], alone, atol=1e-6)


def test_the_gradient_is_detached_and_works_without_grad_mode(small_net, pictures):
    """An attack runs inside `no_grad`, and its result must not keep a graph alive."""
    x, y = pictures
    with torch.no_grad():
        gradient = Untargeted(y).gradient(small_net, x)
        assert not torch.is_grad_enabled()
    assert not gradient.requires_grad
    assert not x.requires_grad
    assert gradient.abs().amax() > 0


class Deaf(nn.Module):
    """Answers without listening, in two ways."""

    def __init__(self, *, detached: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.arange(3.0))
        self.detached = detached

    def forward(self, x):
        return x.detach().flatten(1)[:, :3] if self.detached else self.bias.expand(len(x), 3)


@pytest.mark.parametrize("detached", [True, False])
def test_a_model_that_ignores_its_input_has_gradient_zero(detached):
    """No exception: the engine reports such samples."""
    gradient = Untargeted(torch.tensor([0, 1])).gradient(Deaf(detached=detached), torch.rand(2, 1, 2, 2))
    assert torch.equal(gradient, torch.zeros(2, 1, 2, 2))
