"""Paired proportions against published worked examples."""

from __future__ import annotations

import math

import pytest
from sparring.paired import Pairs, difference, mcnemar, wilson

# ((both, lost, gained, neither), difference, low, high) as the sources print them; theirs is one minus other.
PUBLISHED = [
    # Fagerland, Lydersen, Laake, Statistics in Medicine 33 (2014) 2850, airway hyper-responsiveness of 21 children.
    ((1, 1, 7, 12), -0.286, -0.507, -0.026),
    # Fagerland, Lydersen, Laake, Statistical Analysis of Contingency Tables (2017), chapter 8: 161 patients.
    ((59, 6, 16, 80), -0.0621, -0.1186, -0.0046),
    # Newcombe, Statistics in Medicine 17 (1998) 2635, method 10 of the table of worked examples.
    ((36, 12, 2, 0), 0.2, 0.0569, 0.3404),
]


@pytest.mark.parametrize(("counts", "value", "low", "high"), PUBLISHED)
def test_the_interval_is_the_published_one(counts, value, low, high):
    found = difference(Pairs(**dict(zip(("both", "lost", "gained", "neither"), counts, strict=True))))
    digits = max(len(str(number).partition(".")[2]) for number in (low, high))
    # Published as the first minus the second; ours is the second minus the first.
    assert [round(-end, digits) for end in (found.value, found.high, found.low)] == [round(value, digits), low, high]


def test_the_interval_turns_round_with_the_models():
    there = difference(Pairs(both=59, lost=6, gained=16, neither=80))
    back = difference(Pairs(both=59, lost=16, gained=6, neither=80))
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert (there.gained, there.lost, there.p_value) == (back.lost, back.gained, back.p_value)


def test_agreement_narrows_the_interval():
    """The same two shares, 70 % and 80 %, once agreeing as much as they can and once as little."""
    agreeing = difference(Pairs(both=700, lost=0, gained=100, neither=200))
    apart = difference(Pairs(both=500, lost=200, gained=300, neither=0))
    assert agreeing.value == apart.value == pytest.approx(0.1)
    assert agreeing.high - agreeing.low < 0.5 * (apart.high - apart.low)
    assert agreeing.low > 0.08


def test_models_that_never_differ_have_a_difference_of_zero_that_is_not_certain():
    found = difference(Pairs(both=54, lost=0, gained=0, neither=0))
    assert (found.value, found.p_value) == (0.0, 1.0)
    assert found.high == -found.low == pytest.approx(0.0664, abs=5e-5)


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    # The first is the children above: exact conditional p = 0.0703; the others by hand.
    [(7, 1, 0.0703125), (0, 5, 0.0625), (3, 3, 1.0), (0, 0, 1.0), (1, 0, 1.0)],
)
def test_mcnemar_is_exact(gained, lost, p_value):
    assert mcnemar(gained, lost) == mcnemar(lost, gained) == pytest.approx(p_value, rel=1e-12)


def test_mcnemar_holds_for_many_samples():
    """Half a million splits: as the normal distribution has it, and no overflow."""
    z = (251_000 - 249_000 - 1) / math.sqrt(500_000)
    assert mcnemar(251_000, 249_000) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-4)


def test_a_share_of_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="5 of 4"):
        wilson(5, 4)
