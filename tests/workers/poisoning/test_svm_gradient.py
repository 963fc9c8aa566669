"""The gradient through the retrained machine is that of retraining, and following it does the harm."""

from __future__ import annotations

import pytest
import torch

from workers.data import Dataset, builtin
from workers.engine.monitor import NullMonitor
from workers.failures import Rejected
from workers.poisoning import SvmGradient
from workers.poisoning.machine import Kernel, Machine, fit_machine, signs
from workers.poisoning.svm_gradient import hinge, slope

D = 16


def clouds(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.rand(n, D, generator=generator, dtype=torch.float64) * 0.7 + 0.25 * y[:, None]
    return x, signs(y)


def fitted(kernel: Kernel, x_c: torch.Tensor, cost: float) -> Machine:
    x, y = clouds(30, seed=1)
    every = torch.cat([x, x_c[None]])
    return fit_machine(kernel, every, torch.cat([y, torch.ones(1, dtype=torch.float64)]), cost, tolerance=1e-12)


def on_bound(kernel: Kernel, cost: float) -> torch.Tensor:
    """A point on the wrong side: its multiplier is C."""
    x_c = torch.full((D,), 0.2, dtype=torch.float64)
    assert float(fitted(kernel, x_c, cost).alpha[-1]) == cost
    return x_c


def on_margin(kernel: Kernel, cost: float) -> torch.Tensor:
    """A point whose multiplier is free, somewhere between the two clouds."""
    for step in range(200):
        x_c = (
            torch.full((D,), 0.3 + 0.003 * step, dtype=torch.float64) + 0.05 * torch.arange(D, dtype=torch.float64) / D
        )
        if bool(fitted(kernel, x_c, cost).free[-1]):
            return x_c
    raise AssertionError("no point was on the margin")


@pytest.mark.parametrize("cost", [1.0, 3.0])
@pytest.mark.parametrize("gamma", [None, 1.5], ids=["linear", "rbf"])
@pytest.mark.parametrize("start", [on_bound, on_margin])
def test_the_gradient_is_that_of_retraining(start, gamma, cost) -> None:
    kernel, validation = Kernel(gamma), clouds(40, seed=2)
    x_c = start(kernel, cost)
    found = slope(fitted(kernel, x_c, cost), *validation)
    h = 1e-4  # the solver ends at 1e-12, so the difference of two fits has some 1e-8 of noise
    expected = torch.zeros(D, dtype=torch.float64)
    for d in range(D):
        step = torch.zeros(D, dtype=torch.float64)
        step[d] = h
        above, below = (hinge(fitted(kernel, x_c + sign * step, cost), *validation) for sign in (1, -1))
        expected[d] = (above - below) / (2 * h)
    assert float(expected.norm()) > 1
    assert float((found - expected).norm()) < 0.01 * float(expected.norm())


def test_a_point_that_carries_nothing_has_no_gradient() -> None:
    machine = fitted(Kernel(None), torch.full((D,), 1.2, dtype=torch.float64), 1.0)
    assert float(machine.alpha[-1]) == 0
    assert not slope(machine, *clouds(40, seed=2)).any()


@pytest.fixture
def digits() -> Dataset:
    return builtin("digits", "train")


def poison(**changes) -> SvmGradient:
    settings = {"attacking_label": 7, "attacked_label": 1, "svm_samples": 40, "svm_validation": 80, "ascent_steps": 15}
    return SvmGradient(**{**settings, **changes})


@pytest.mark.parametrize("architecture", ["linear_svm", "rbf_svm"])
def test_points_that_are_moved_cost_more_than_points_that_are_not(digits, svm, architecture) -> None:
    learner = type(svm)(architecture=architecture, options=svm.options, device=svm.device)
    moving, still = poison(), poison(ascent_steps=0)
    scenario = moving.scenario(digits, builtin("digits", "test"), seed=3)
    victim = moving.victim(learner, scenario, seed=3, monitor=NullMonitor())
    costs = []
    for attack in (still, moving):
        made = attack.craft(scenario, 2, victim, seed=3, monitor=NullMonitor())
        x = made.data.pixels(slice(None)).flatten(1).double()
        machine = fit_machine(victim.kernel, x, signs(made.data.y), victim.cost)
        flat = scenario.validation.pixels(slice(None)).flatten(1).double()
        costs.append(hinge(machine, flat, signs(scenario.validation.y)))
        assert made.index.tolist() == [40, 41]
        assert made.data.y[40:].tolist() == [1, 1]
        assert 0 <= float(made.data.x.min()) <= float(made.data.x.max()) <= 1
    assert torch.equal(still.craft(scenario, 2, victim, seed=3, monitor=NullMonitor()).data.x[40:], made.before)
    assert costs[1] > 1.2 * costs[0]


def test_the_points_of_a_larger_poison_begin_with_those_of_a_smaller_one(digits, svm) -> None:
    attack = poison(ascent_steps=3)
    scenario = attack.scenario(digits, builtin("digits", "test"), seed=3)
    victim = attack.victim(svm, scenario, seed=3, monitor=NullMonitor())
    one, two = (attack.craft(scenario, count, victim, seed=3, monitor=NullMonitor()) for count in (1, 2))
    assert torch.equal(one.data.x, two.data.x[:41])


def test_the_two_classes_alone_are_at_stake(digits) -> None:
    scenario = poison().scenario(digits, builtin("digits", "test"), seed=0)
    assert (len(scenario.train), len(scenario.validation), scenario.train.classes) == (40, 80, 2)
    counts = builtin("digits", "test").class_counts()
    assert scenario.held_out.class_counts() == (counts[1], counts[7])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"attacked_label": 7}, "BAD_PARAMETER"),
        ({"attacked_label": 10}, "BAD_PARAMETER"),
        ({"svm_samples": 500}, "TOO_FEW_SAMPLES"),
    ],
)
def test_what_makes_no_sense_is_refused(digits, changes, reason) -> None:
    with pytest.raises(Rejected) as caught:
        poison(**changes).scenario(digits, digits, seed=0)
    assert caught.value.reason == reason


def test_a_network_is_not_its_victim(digits, network) -> None:
    scenario = poison().scenario(digits, digits, seed=0)
    with pytest.raises(Rejected, match="linear_svm or rbf_svm"):
        poison().victim(network, scenario, seed=0, monitor=NullMonitor())
