"""Whether a series of figures grows: a robust slope over medians of windows, and a tolerance.

    slope = median over all pairs of windows i < j of (m_j - m_i) / (t_j - t_i)      (Theil and Sen)

m_i is the median of a window, t_i the middle of its time. A series grows where three things hold at once: the slope is
beyond its share of the level, beyond its absolute rate, and has added more than a fixed amount in the time looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

Points = Sequence[tuple[float, float]]
WINDOW_S = 30.0
LEAST_WINDOWS = 4


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What a series may grow: `share` of its level in ten minutes, `per_minute`, and `rise` in all."""

    share: float = 0.0
    per_minute: float = 0.0
    rise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Slope:
    """How a series went. `allowed_per_hour` is the slope from which on it counts as growing."""

    name: str
    level: float
    per_hour: float
    allowed_per_hour: float
    rise: float
    seconds: float
    grows: bool


def windows(points: Points, window_s: float = WINDOW_S) -> list[tuple[float, float]]:
    """The medians of consecutive windows, each with the median of its times."""
    if not points:
        return []
    start = points[0][0]
    cut: dict[int, list[tuple[float, float]]] = {}
    for at_s, value in points:
        cut.setdefault(int((at_s - start) // window_s), []).append((at_s, value))
    return [(median(at_s for at_s, _ in part), median(value for _, value in part)) for part in cut.values()]


def theil_sen(points: Points) -> float:
    """The median of the slopes of all pairs, per second."""
    return median((later - value) / (then - at_s) for (at_s, value), (then, later) in combinations(points, 2))


def slope(name: str, points: Points, tolerance: Tolerance, window_s: float = WINDOW_S) -> Slope | None:
    """Judge a series; None where it is too short to be judged."""
    parts = windows(points, window_s)
    if len(parts) < LEAST_WINDOWS:
        return None
    level, per_s = median(value for _, value in parts), theil_sen(parts)
    seconds = parts[-1][0] - parts[0][0]
    allowed_per_s = max(tolerance.share * level / 600, tolerance.per_minute / 60, tolerance.rise / seconds)
    return Slope(
        name=name,
        level=level,
        per_hour=per_s * 3600,
        allowed_per_hour=allowed_per_s * 3600,
        rise=per_s * seconds,
        seconds=seconds,
        grows=per_s > allowed_per_s,
    )
