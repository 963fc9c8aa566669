"""What no attack may disturb, and what each must hand back (engine-facts: contract, determinism, equivalence)."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.workers.engine.test_attack_contract import Stop, assert_undisturbed, state_of
from workers.attacks import ATTACKS
from workers.failures import Interrupted, Rejected
from workers.threats import BALLS

from .cases import CASES, NO_LIMIT, QUICK, SPECIAL

every_case = pytest.mark.parametrize("case", CASES, ids=str)
on_nets = pytest.mark.parametrize("case", [case for case in CASES if case.name != "linear_nudge"], ids=str)
RADIUS = {"linf": 0.2, "l2": 1.0, "l1": 5.0, "l0": 12.0}


@pytest.fixture
def samples(fussy):
    """Seven samples, of which the model is right about five."""
    x = torch.rand(7, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = copy.deepcopy(fussy).eval()(x).argmax(dim=1)
    y[5:] = (y[5:] + 1) % 5
    return x, y


def test_every_attack_of_the_table_is_in_the_battery():
    """An attack that is added cannot be forgotten here."""
    assert set(QUICK) | SPECIAL >= set(ATTACKS)


@on_nets
def test_the_model_the_inputs_and_the_random_state_are_as_they_were(case, fussy, samples):
    """Modes per module, p.grad, buffers, random states, grad mode; the outputs detached, own, in ball and box."""
    before = state_of(fussy, samples)
    result = case.run(fussy, *samples, RADIUS[case.norm], label=1, batch_size=4)
    assert_undisturbed(before, state_of(fussy, samples))
    x, _ = samples
    assert not result.x_adv.requires_grad
    assert result.x_adv.dtype == torch.float32
    assert result.x_adv.data_ptr() != x.data_ptr()
    assert result.violations == 0
    assert (result.x_adv >= 0).all()
    assert (result.x_adv <= 1).all()
    ball = BALLS[case.norm](RADIUS[case.norm])
    assert (ball.distance(result.x_adv, x) <= ball.epsilon + 1e-6 * max(1, ball.epsilon)).all()
    assert torch.equal(result.x_adv[~result.attacked], x[~result.attacked])


def test_a_net_that_is_refused_is_as_it_was(fussy, samples):
    """The closed form of linear models looks at a net before it refuses it."""
    before = state_of(fussy, samples)
    for case in (case for case in CASES if case.name == "linear_nudge"):
        with pytest.raises(Rejected, match="linear in the pixels"):
            case.run(fussy, *samples, RADIUS[case.norm], label=1)
    assert_undisturbed(before, state_of(fussy, samples))


@on_nets
def test_everything_is_as_it_was_after_an_interruption(case, fussy, samples):
    """Cancelled in the middle of the attack."""
    before = state_of(fussy, samples)
    with pytest.raises(Interrupted):
        case.run(fussy, *samples, RADIUS[case.norm], label=1, monitor=Stop(2))
    assert_undisturbed(before, state_of(fussy, samples))


@on_nets
def test_a_sample_meets_the_same_whatever_is_attacked_beside_it(case, small_net, pictures):
    """Another order and other batches: the same samples break, at the same distance but for the last bits."""
    x, y = (part[:6] for part in pictures)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    one = case.run(small_net, x, y, RADIUS[case.norm], label=2, batch_size=6)
    other = case.run(small_net, x[order], y[order], RADIUS[case.norm], label=2, batch_size=4, ids=order)
    agree = one.success[order] == other.success
    assert agree.float().mean() >= 5 / 6, "at most a sample on the edge"
    near = (one.distance[order] - other.distance).abs() <= 0.02 * RADIUS[case.norm] + 1e-4
    assert (near | ~agree).float().mean() >= 5 / 6


@on_nets
def test_sparing_survivors_changes_the_cost_and_not_the_outcome(case, small_net, pictures):
    """Every sample to the last step breaks the same samples as dropping those that are done."""
    x, y = (part[:8] for part in pictures)
    spared = case.run(small_net, x, y, RADIUS[case.norm], label=2)
    whole = case.run(small_net, x, y, RADIUS[case.norm], label=2, survivors_only=False)
    assert (spared.success != whole.success).sum() <= 1
    assert spared.forwards.sum() <= whole.forwards.sum() + 2 * len(x)


@every_case
def test_a_radius_of_zero_leaves_the_input_and_no_limit_breaks_it(case, make_oracle):
    """The two ends of every curve."""
    oracle = make_oracle(4)
    nothing = case.run(oracle.model, oracle.x, oracle.y, 0.0, label=int(oracle.runner_up[0]))
    assert torch.equal(nothing.x_adv, oracle.x)
    assert not nothing.success.any()
    assert nothing.violations == 0
    radius = NO_LIMIT[case.norm] if case.minimum else {"linf": 0.5, "l2": 4.0, "l1": 32.0}[case.norm]
    everything = case.run(oracle.model, oracle.x, oracle.y, radius, quick=False, label=int(oracle.runner_up[0]))
    assert everything.success[everything.attacked].all()
    assert everything.violations == 0
