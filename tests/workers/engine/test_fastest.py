"""The copy that is asked in place of a model: the same answers, the same verdict, and the model left alone."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from workers.engine.attack import AttackPlan, run_attack
from workers.engine.fastest import Twin, fastest
from workers.engine.memory import Portion
from workers.engine.propagate import Eager

PLANS = {
    "fgsm": AttackPlan(name="fgsm", epsilon=0.05),
    "bim": AttackPlan(name="bim", epsilon=0.05, parameters={"steps": 10, "step_size": 0.01}),
    "pgd": AttackPlan(
        name="pgd",
        epsilon=0.5,
        norm="l2",
        parameters={"steps": 8, "step_size": 0.1, "restarts": 2, "random_start": True, "loss": "margin"},
    ),
}
COLUMNS = ("success", "attacked", "prediction", "forwards", "backwards", "zero_gradient")


@pytest.fixture
def wide():
    """A net with a convolution that gains by the other order, a batch norm, and 3 x 8 x 8 inputs; in train mode."""
    torch.manual_seed(1)
    layers = (nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.Flatten())
    net = nn.Sequential(*layers, nn.Linear(8 * 16, 5))
    net[1].running_mean.normal_()
    return net


def samples(net, count=24):
    x = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return x, net.eval()(x).argmax(dim=1)


def run(net, plan, *given, **options):
    ids = torch.arange(len(given[0]))
    return run_attack(net, *given, plan, sample_ids=ids, seed=0, batch_size=16, **options)


@pytest.mark.parametrize("name", PLANS)
def test_the_verdict_is_that_of_the_plain_way(wide, name):
    """Channels last rounds otherwise, so a sample on the edge may fall to the other side."""
    x, y = samples(wide)
    assert isinstance(fastest(wide), Twin)
    plain, fast = run(wide, PLANS[name], x, y), run(wide, PLANS[name], x, y, propagator=fastest(wide))
    for column in COLUMNS:
        assert (getattr(plain, column) != getattr(fast, column)).sum() <= 1
    assert torch.allclose(plain.confidence, fast.confidence, atol=0.05)
    assert fast.violations == 0
    with torch.no_grad():
        assert torch.equal(fast.prediction, wide(fast.x_adv).argmax(dim=1)), "judged by the model itself"


def test_the_model_is_left_alone(wide):
    """Its order in memory, its mode, its gradients."""
    x, y = samples(wide)
    wide.train()
    strides = [parameter.stride() for parameter in wide.parameters()]
    propagator = fastest(wide)
    run(wide, PLANS["bim"], x, y, propagator=propagator)
    assert [parameter.stride() for parameter in wide.parameters()] == strides
    assert wide.training
    assert all(parameter.requires_grad for parameter in wide.parameters())


def test_the_propagator_does_not_keep_the_model_alive():
    """Workers drop models that they have not used for a while."""
    net = nn.Sequential(nn.Conv2d(16, 16, 3), nn.Flatten(), nn.Linear(16, 2))
    propagator, gone = fastest(net), weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    assert isinstance(propagator, Twin)


def test_pieces_of_a_batch_go_through_the_copy_too(wide):
    """Where memory is short, with the same verdict."""
    x, y = samples(wide)
    short = Portion(16)
    short.size = 4
    whole = run(wide, PLANS["bim"], x, y, propagator=fastest(wide))
    pieces = run(wide, PLANS["bim"], x, y, propagator=fastest(wide), portion=short)
    assert (whole.success != pieces.success).sum() <= 1


def test_nets_that_gain_nothing_are_asked_as_they_are(small_net):
    """No copy is made of them."""
    assert isinstance(fastest(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))), Eager)
    assert isinstance(fastest(small_net[:2]), Eager)
