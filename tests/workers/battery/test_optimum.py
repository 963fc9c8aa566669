"""Every attack against models whose optimum is known in closed form."""

from __future__ import annotations

import pytest
import torch

from .cases import CASES, NO_LIMIT, Case

GREEDY = {"jsma", "simba", "square", "nes"}
BUDGET = [case for case in CASES if not case.minimum and case.norm in {"linf", "l2"}]
MINIMUM = [case for case in CASES if case.minimum and case.norm in {"linf", "l2"} and case.name not in GREEDY]

# Within what factor of the shortest perturbation a minimum-norm attack stays.
BOUND = {"deepfool": 1.02, "linear_nudge": 1.03}


def wanted(case: Case, oracle) -> int | None:
    """The class to be reached, the same for all: the runner-up of the first sample."""
    return int(oracle.runner_up[0]) if case.goal == "label" else None


@pytest.mark.parametrize("case", BUDGET, ids=str)
def test_succeeds_just_beyond_the_true_distance_and_fails_just_below_it(case, make_oracle):
    """At 1.25 times the shortest perturbation it breaks, at 0.75 times nothing can."""
    oracle = make_oracle(3)
    label = wanted(case, oracle)
    target = None
    if case.goal != "untargeted":
        target = case.run(oracle.model, oracle.x, oracle.y, 1e-4, label=label).target
    truth = oracle.distance(case.norm, target)[0].item()
    beyond = case.run(oracle.model, oracle.x, oracle.y, 1.25 * truth, quick=False, label=label)
    below = case.run(oracle.model, oracle.x, oracle.y, 0.75 * truth, quick=False, label=label)
    assert beyond.attacked[0]
    assert beyond.success[0]
    assert not below.success[0]
    assert beyond.violations == below.violations == 0


@pytest.mark.parametrize("case", MINIMUM, ids=str)
def test_stays_near_the_shortest_perturbation(case, make_oracle):
    """Within 1.25 times the closed-form optimum, DeepFool within 1.02."""
    oracle = make_oracle(4)
    label = wanted(case, oracle)
    result = case.run(oracle.model, oracle.x, oracle.y, NO_LIMIT[case.norm], quick=False, label=label)
    target = None if case.goal == "untargeted" else result.target
    rows = result.attacked & (oracle.runner_up == label if case.goal == "label" else True)
    assert rows.any()
    assert result.success[rows].all()
    ratio = (result.distance / oracle.distance(case.norm, target))[rows]
    assert ratio.min() >= 1 - 1e-3, "shorter than the shortest: the measure is wrong"
    assert ratio.max() <= BOUND.get(case.name, 1.25)


@pytest.mark.parametrize("case", [case for case in CASES if case.goal == "untargeted"], ids=str)
def test_success_does_not_fall_with_the_radius(case, make_oracle):
    """What a small ball holds a larger one holds too."""
    oracle = make_oracle(6)
    radii = {"linf": (0.005, 0.012, 0.3), "l2": (0.03, 0.08, 3.0), "l1": (0.1, 0.4, 20.0), "l0": (1.0, 6.0, 60.0)}
    rates = [
        case.run(oracle.model, oracle.x, oracle.y, radius, quick=False, batch_size=6).success.float().mean()
        for radius in radii[case.norm]
    ]
    assert rates == sorted(rates)
    assert rates[-1] == 1
    assert torch.tensor(rates).isfinite().all()
