"""Carlini and Wagner's attack: its weight, its confidence, and when a sample stops."""

from __future__ import annotations

import pytest
import torch

from workers.attacks import ATTACKS
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.losses import margin
from workers.weighing import WeightSearch

PARAMETERS = {
    "search_steps": 4,
    "steps": 60,
    "learning_rate": 0.05,
    "confidence": 0.0,
    "initial_c": 1.0,
    "abort_early": True,
}


def attack(model, x, y, *, label=None, **changes):
    plan = AttackPlan(
        name="carlini_wagner",
        norm="l2",
        epsilon=1000.0,
        parameters={**PARAMETERS, **changes},
        goal=GoalSpec() if label is None else GoalSpec(kind="label", label=label),
    )
    return run_attack(model, x, y, plan, sample_ids=torch.arange(len(y)), seed=1, batch_size=32)


def test_the_weight_is_bisected_sample_by_sample():
    """It grows tenfold until it is enough, and then halves the interval."""
    search = WeightSearch(0.01, torch.zeros(2, 3))
    seen = []
    for reached in ([False, True], [False, False], [True, True], [False, True]):
        seen.append(search.c.tolist())
        search.narrow(torch.tensor(reached))
    seen.append(search.c.tolist())
    assert [first for first, _ in seen] == pytest.approx([0.01, 0.1, 1.0, 0.55, 0.775])
    assert [second for _, second in seen] == pytest.approx([0.01, 0.005, 0.0075, 0.00625, 0.005625])


@pytest.mark.parametrize("label", [None, 2])
def test_confidence_is_the_margin_of_the_result(small_net, pictures, label):
    """Every success leads by kappa, which makes it longer."""
    x, y = pictures[0][:8], pictures[1][:8]
    plain = attack(small_net, x, y, label=label)
    confident = attack(small_net, x, y, label=label, confidence=0.1)
    target = torch.full_like(y, 2)
    lead = margin(small_net(confident.x_adv), y) if label is None else -margin(small_net(confident.x_adv), target)
    assert confident.success.all()
    assert (lead >= 0.1 - 1e-4).all()
    assert (confident.distance > plain.distance).all()


def test_a_sample_that_stops_early_spares_its_propagations_and_no_other_ones(small_net, pictures):
    """The costs of samples differ, and the distances are as good as those of all steps."""
    x, y = pictures[0][:12], pictures[1][:12]
    early, late = attack(small_net, x, y, steps=100), attack(small_net, x, y, steps=100, abort_early=False)
    assert (late.backwards == 4 * 100 + 1).all()
    assert (early.backwards < late.backwards).all()
    assert len(early.backwards.unique()) > 1
    assert early.distance.mean() <= 1.02 * late.distance.mean()


def test_its_progress_is_never_told_beyond_the_end(small_net, pictures):
    """The table says how many queries there are at most."""
    told = []

    class Monitor:
        def tick(self, fraction, _stage):
            told.append(fraction)

    plan = AttackPlan(name="carlini_wagner", norm="l2", epsilon=1000.0, parameters={**PARAMETERS, "abort_early": False})
    x, y = pictures
    run_attack(small_net, x, y, plan, sample_ids=torch.arange(32), seed=1, batch_size=16, monitor=Monitor())
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert ATTACKS["carlini_wagner"].calls(PARAMETERS) == 1 + 4 * 60 + 4
