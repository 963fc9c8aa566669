"""The ensemble: its stages, few classes, saturated logits, and that it is never weaker than its members."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from workers.attacks import ATTACKS, Stage
from workers.attacks.auto_attack import auto_attack
from workers.engine.attack import AttackPlan, run_attack

PARAMETERS = {"version": "standard", "steps": 10, "queries": 100, "targets": 9}
NORMS = {"linf": 0.02, "l2": 0.15, "l1": 0.8}
STAGES = ("apgd", "apgd", "fab", "square")


def attack(model, x, y, norm, epsilon, *, name="auto_attack", parameters=None):
    plan = AttackPlan(
        name=name, norm=norm, epsilon=epsilon, parameters=PARAMETERS if parameters is None else parameters
    )
    return run_attack(model, x, y, plan, sample_ids=torch.arange(len(y)), seed=1, batch_size=32)


def test_its_stages_are_the_standard_ones():
    """APGD on cross-entropy, then three with the classes and queries that are asked for."""
    stages = auto_attack({"version": "standard", "steps": 100, "queries": 5000, "targets": 9})
    assert tuple(name for name, _ in stages) == STAGES
    ce, dlr, fab, square = (parameters for _, parameters in stages)
    assert (ce["loss"], ce["targets"], ce["steps"]) == ("cross_entropy", 0, 100)
    assert (dlr["loss"], dlr["targets"], dlr["steps"]) == ("dlr", 9, 100)
    assert (fab["targets"], fab["steps"]) == (9, 100)
    assert (square["queries"], square["loss"]) == (5000, "margin")


@pytest.mark.parametrize("norm", NORMS)
def test_it_breaks_whatever_its_first_member_breaks_and_says_who_did(small_net, pictures, norm):
    """Stage by stage on the survivors: a sample that the first broke is the first's."""
    x, y = pictures
    whole = attack(small_net, x, y, norm, NORMS[norm])
    first = attack(small_net, x, y, norm, NORMS[norm], name="apgd", parameters=dict(auto_attack(PARAMETERS)[0][1]))
    assert torch.equal(whole.stage == 0, first.success)
    assert torch.equal(whole.stage >= 0, whole.success)
    assert 0 < whole.success.sum() < 32
    assert whole.violations == 0


@pytest.mark.parametrize("norm", NORMS)
def test_succeeds_just_beyond_the_true_distance_and_fails_just_below_it(make_oracle, norm):
    """At 1.25 times the shortest perturbation it breaks, at 0.75 times nothing can."""
    oracle = make_oracle(4)
    best = oracle.logits.topk(2, dim=1).values
    gap = (best[:, 0] - best[:, 1]) / oracle.model.weight.max().item()
    truth = gap if norm == "l1" else oracle.distance(norm)
    for row in range(2):
        beyond, below = (attack(oracle.model, oracle.x, oracle.y, norm, f * truth[row].item()) for f in (1.25, 0.75))
        assert beyond.success[row]
        assert beyond.stage[row] == 0
        assert not below.success[row]
        assert below.stage[row] == -1


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("norm", NORMS)
def test_trap_13_it_works_with_two_and_three_classes(norm, classes):
    """No fourth logit, and fewer classes than targets."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, classes))
    x = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(dim=1)
    radius = {"linf": 0.5, "l2": 3.0, "l1": 18.0}[norm]
    assert attack(model, x, y, norm, radius).success.all() or classes == 2
    untouched = attack(model, x, y, norm, 1e-5)
    assert not untouched.success.any()
    assert (untouched.stage == -1).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_trap_22_saturated_logits_are_broken_by_the_second_stage(make_oracle, norm):
    """At 1e4 times the logits cross-entropy has no gradient, which is flagged; the DLR does not notice."""
    oracle = make_oracle(8)
    epsilon = 1.25 * oracle.distance(norm).amax().item()
    oracle.model.weight.data.mul_(1e4)
    result = attack(oracle.model, oracle.x, oracle.y, norm, epsilon)
    assert result.success.all()
    assert (result.stage >= 1).float().mean() > 0.5
    assert result.zero_gradient.float().mean() > 0.5


def test_samples_leave_fab_with_the_first_point_inside_the_ball(small_net, pictures, monkeypatch):
    """By itself it looks for the nearest point to the last step; in an ensemble it breaks the same ones sooner."""
    x, y = pictures
    fab = {**dict(auto_attack(PARAMETERS)[2][1]), "steps": 40, "targets": 2}
    alone = attack(small_net, x, y, "l2", NORMS["l2"], name="fab", parameters=fab)
    stages = {"stages": lambda _: [Stage(name="fab", parameters=fab), Stage(name="fab", parameters=fab)]}
    monkeypatch.setitem(ATTACKS, "auto_attack", replace(ATTACKS["auto_attack"], **stages))
    within = attack(small_net, x, y, "l2", NORMS["l2"])
    assert torch.equal(within.success, alone.success)
    assert 0 < within.success.sum() < 32
    assert (within.stage[within.success] == 0).all()
    assert within.violations == 0
    assert within.backwards[within.success].float().mean() < 0.7 * alone.backwards[within.success].float().mean()
