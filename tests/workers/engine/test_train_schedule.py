"""Learning rates as functions of the step, and both optimisers against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.engine.train_schedule import Optimization, descend, learning_rate, make_optimizer


@pytest.mark.parametrize("steps", [2, 5, 10, 101])
def test_one_cycle_is_torchs(steps):
    """The same rate as OneCycleLR in every step."""
    optimization = Optimization(epochs=1, batch_size=1, learning_rate=0.3)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=steps, cycle_momentum=False)
    for step in range(steps):
        assert learning_rate(optimization, step, steps) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step + 1 < steps:
            theirs.step()


def test_one_cycle_of_few_steps():
    """However few the steps, every rate is finite and none is above the given one."""
    optimization = Optimization(epochs=1, batch_size=1, learning_rate=0.3)
    for steps in (1, 2, 3, 4):
        rates = [learning_rate(optimization, step, steps) for step in range(steps)]
        assert all(0 < rate <= 0.3 for rate in rates)


def test_constant():
    """The given rate throughout."""
    optimization = Optimization(epochs=1, batch_size=1, learning_rate=0.3, schedule="constant")
    assert [learning_rate(optimization, step, 9) for step in range(9)] == [0.3] * 9


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_nesterovs(momentum):
    """Three steps of our SGD are three of torch's, and its decay is decoupled from the gradient."""
    optimization = Optimization(
        epochs=1, batch_size=1, learning_rate=0.1, momentum=momentum, optimizer="sgd", weight_decay=0.5
    )
    ours, theirs = nn.Linear(3, 1), nn.Linear(3, 1)
    theirs.load_state_dict(ours.state_dict())
    optimizer = make_optimizer(optimization, ours)
    reference = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=momentum, nesterov=momentum > 0)
    x = torch.rand(4, 3)
    for _ in range(3):
        descend(optimizer, ours(x).square().mean(), 0.1, 0.5)
        reference.zero_grad()
        theirs(x).square().mean().backward()
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter.mul_(1 - 0.1 * 0.5)
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
