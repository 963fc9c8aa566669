"""Shares of a sample, with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Proportion:
    """`count` of `of` samples: value in [0, 1] with its 95 % Wilson score interval [low, high].

    Nothing is known of a share of no samples: value 0, interval [0, 1], and `of` says why.
    """

    value: float
    low: float
    high: float
    count: int
    of: int

    @property
    def known(self) -> bool:
        """Whether there was any sample to judge."""
        return self.of > 0


def wilson(count: int, of: int, z: float = Z_95) -> Proportion:
    """Return count / of with its Wilson score interval.

        (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)

    Keeps its coverage at 0 % and 100 %, where attacks live and where the textbook interval collapses to a point.
    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of} samples is no share")
    if of == 0:
        return Proportion(0.0, 0.0, 1.0, 0, 0)
    p = count / of
    middle = p + z * z / (2 * of)
    reach = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    # At the ends the formula is exact but for rounding: 0 of n reaches down to 0, n of n up to 1.
    low = 0.0 if count == 0 else (middle - reach) / scale
    high = 1.0 if count == of else (middle + reach) / scale
    return Proportion(p, low, high, count, of)
