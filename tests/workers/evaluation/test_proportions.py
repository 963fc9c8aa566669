"""The intervals, against values computed elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from workers.evaluation.proportions import wilson


# R. G. Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3.
@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_known_values(count, of, low, high):
    proportion = wilson(count, of)
    assert (proportion.low, proportion.high) == pytest.approx((low, high), abs=5e-5)
    assert proportion.value == count / of


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_equals_scipy(pair):
    count, of = pair
    expected = binomtest(count, of).proportion_ci(0.95, method="wilson")
    mine = wilson(count, of)
    assert (mine.low, mine.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= mine.low <= mine.value <= mine.high <= 1


def test_nothing_is_known_of_no_samples():
    proportion = wilson(0, 0)
    assert (proportion.value, proportion.low, proportion.high) == (0.0, 0.0, 1.0)
    assert not proportion.known


@pytest.mark.parametrize(("count", "of"), [(-1, 5), (6, 5), (1, 0)])
def test_what_is_no_share_is_refused(count, of):
    with pytest.raises(ValueError, match="no share"):
        wilson(count, of)
