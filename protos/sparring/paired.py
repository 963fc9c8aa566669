"""Shares of the same samples, and how far two of them are apart: the mathematics of a comparison, without numpy.

Two models judged on the same n samples give a table of pairs,

                      the other holds    it does not
    one holds              both             lost
    one does not          gained           neither

and the samples on which they agree say nothing of which is better. Intervals that overlap are therefore no answer: the
difference has an interval of its own, which is the narrower the more the two agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """`count` of `of` samples: value in [0, 1] with its 95 % Wilson score interval [low, high]."""

    value: float
    low: float
    high: float
    count: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What became of n samples under one model and another, each count at least 0; see the module's head."""

    both: int
    lost: int
    gained: int
    neither: int

    @property
    def n(self) -> int:
        """Samples in all."""
        return self.both + self.lost + self.gained + self.neither


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The other model's share minus the one's, in [-1, 1], with its 95 % interval.

    `gained`: samples that the other holds and the one does not; `lost`: the other way round. `p_value`: how likely so
    uneven a split of those samples is where both models are equally good.
    """

    value: float
    low: float
    high: float
    gained: int
    lost: int
    p_value: float


def wilson(count: int, of: int) -> Share:
    """Return count / of with its 95 % Wilson score interval; of no samples nothing is known: 0 in [0, 1].

        (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)

    Raises ValueError unless 0 <= count <= of. Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of} samples is no share")
    if of == 0:
        return Share(value=0.0, low=0.0, high=1.0, count=0, of=0)
    p, z = count / of, Z_95
    middle = p + z * z / (2 * of)
    reach = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    # At the ends the formula is exact but for rounding: 0 of n reaches down to 0, n of n up to 1.
    low = 0.0 if count == 0 else (middle - reach) / scale
    high = 1.0 if count == of else (middle + reach) / scale
    return Share(value=p, low=low, high=high, count=count, of=of)


def difference(pairs: Pairs) -> Difference:
    """Return how much larger the other's share is, with the 95 % interval of Newcombe's method 10 for paired data.

        d -+ sqrt((p2 - l2)^2 - 2 phi (p2 - l2)(u1 - p1) + (u1 - p1)^2)       the lower end; u and l trade places above

    p1, p2: the two shares, [l, u]: their Wilson intervals, phi: the correlation of the two verdicts over the samples,
    its numerator brought n/2 closer to 0 where it is positive, and to no less than 0.
    Source: R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", Statistics in Medicine 17 (1998) 2635, method 10.
    """
    n = pairs.n
    one, other = wilson(pairs.both + pairs.lost, n), wilson(pairs.both + pairs.gained, n)
    value, phi = other.value - one.value, _correlation(pairs)
    below = _reach(other.value - other.low, one.high - one.value, phi)
    above = _reach(other.high - other.value, one.value - one.low, phi)
    return Difference(
        value=value,
        low=max(-1.0, value - below),
        high=min(1.0, value + above),
        gained=pairs.gained,
        lost=pairs.lost,
        p_value=mcnemar(pairs.gained, pairs.lost),
    )


def _correlation(pairs: Pairs) -> float:
    """Return phi with Newcombe's correction; 0 where one of the verdicts is the same for every sample."""
    one, other = pairs.both + pairs.lost, pairs.both + pairs.gained
    spread = one * (pairs.n - one) * other * (pairs.n - other)
    if spread == 0:
        return 0.0
    together = pairs.both * pairs.neither - pairs.lost * pairs.gained
    return (max(together - pairs.n / 2, 0.0) if together > 0 else together) / math.sqrt(spread)


def _reach(one: float, other: float, phi: float) -> float:
    # Not below 0 but for rounding, as phi is in [-1, 1].
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided exact p-value of McNemar's test: each of the split samples may go either way.

        min(1, 2 sum_{k <= min(gained, lost)} C(m, k) / 2^m),  m = gained + lost

    1 where nothing is split. Source: Q. McNemar, Psychometrika 12 (1947) 153, with the binomial distribution itself in
    place of its approximation.
    """
    split = gained + lost
    if split == 0:
        return 1.0
    scale = math.lgamma(split + 1) - split * math.log(2)
    terms = (math.exp(scale - math.lgamma(k + 1) - math.lgamma(split - k + 1)) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * math.fsum(terms))
