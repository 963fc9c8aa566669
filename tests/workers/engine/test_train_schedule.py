"""Learning rates as functions of the step, and both optimisers against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.engine.train_schedule import Optimization, learning_rate, make_optimizer, move


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


def rates(schedule, steps, **more):
    optimization = Optimization(epochs=1, batch_size=1, learning_rate=0.4, schedule=schedule, **more)
    return [learning_rate(optimization, step, steps) for step in range(steps)]


def test_cyclic_is_a_triangle():
    """Up by equal steps and down by the same, the given rate in the middle; the area is half of the rectangle."""
    assert rates("cyclic", 4) == pytest.approx([0.1, 0.3, 0.3, 0.1])
    assert max(rates("cyclic", 5)) == pytest.approx(0.4)
    for steps in (1, 2, 7, 100):
        found = rates("cyclic", steps)
        assert found == pytest.approx(found[::-1])
        assert all(0 < rate <= 0.4 for rate in found)


def test_piecewise_falls_twice():
    """A tenth after half of the steps, a hundredth after three quarters."""
    assert rates("piecewise", 8) == pytest.approx([0.4] * 4 + [0.04] * 2 + [0.004] * 2)


def test_cosine_falls_from_the_rate_to_nothing():
    """Half of it in the middle, and as far above it before as below it after."""
    found = rates("cosine", 101)
    assert found[0] == pytest.approx(0.4, rel=1e-3)
    assert found[50] == pytest.approx(0.2)
    assert found[-1] < 1e-4
    assert [a + b for a, b in zip(found, found[::-1], strict=True)] == pytest.approx([0.4] * 101)


def test_warm_up_rises_linearly_from_nothing():
    """Over its part of the steps, and then the schedule is as without."""
    assert rates("constant", 10, warm_up=0.4) == pytest.approx([0.1, 0.2, 0.3] + [0.4] * 7)
    assert rates("piecewise", 8, warm_up=0.25)[2:] == rates("piecewise", 8)[2:]
    assert rates("constant", 4, warm_up=1.0) == pytest.approx([0.1, 0.2, 0.3, 0.4])


def net():
    linear = nn.Linear(3, 2)
    linear(torch.rand(4, 3)).square().sum().backward()
    return linear


def test_a_long_gradient_is_shortened_and_a_short_one_is_not():
    """The whole gradient keeps its direction; its length is the clip."""
    optimization = Optimization(epochs=1, batch_size=1, learning_rate=1.0, momentum=0.0, optimizer="sgd")
    for factor in (0.5, 2.0):
        linear = net()
        before = [parameter.detach().clone() for parameter in linear.parameters()]
        gradient = torch.cat([parameter.grad.flatten() for parameter in linear.parameters()])
        move(make_optimizer(optimization, linear), 1.0, 0.0, float(factor * gradient.norm()))
        after = torch.cat([(was - now).flatten() for was, now in zip(before, linear.parameters(), strict=True)])
        torch.testing.assert_close(after, min(1.0, factor) * gradient, rtol=1e-4, atol=1e-6)


def test_weights_without_a_gradient_do_not_decay():
    linear = net()
    linear.bias.grad = None
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    optimization = Optimization(epochs=1, batch_size=1, learning_rate=0.1, optimizer="sgd", momentum=0.0)
    move(make_optimizer(optimization, linear), 0.1, 0.5)
    assert torch.equal(linear.bias, bias)
    assert not torch.equal(linear.weight, weight)


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
        optimizer.zero_grad()
        ours(x).square().mean().backward()
        move(optimizer, 0.1, 0.5)
        reference.zero_grad()
        theirs(x).square().mean().backward()
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter.mul_(1 - 0.1 * 0.5)
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
