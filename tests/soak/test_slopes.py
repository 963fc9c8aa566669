"""The judge of the soak: it sees what grows, and nothing else."""

from __future__ import annotations

import random

import pytest

from .slopes import Slope, Tolerance, slope, theil_sen, windows

MEMORY = Tolerance(share=0.05, rise=10e6)
FILES = Tolerance(per_minute=0.5, rise=3)


def judged(values: list[float], tolerance: Tolerance, every_s: float = 5.0) -> Slope:
    found = slope("x", [(number * every_s, value) for number, value in enumerate(values)], tolerance)
    assert found is not None
    return found


def test_the_slope_of_a_line_is_its_own_and_one_wild_point_changes_little() -> None:
    line = [(float(at_s), 3.0 * at_s + 1) for at_s in range(50)]
    assert theil_sen(line) == pytest.approx(3)
    assert theil_sen([*line, (50.0, 1e9)]) == pytest.approx(3, rel=0.01)


def test_a_window_is_its_medians() -> None:
    assert windows([(0.0, 1.0), (10.0, 100.0), (20.0, 2.0), (30.0, 7.0)], 30.0) == [(10.0, 2.0), (30.0, 7.0)]


def test_noise_around_a_level_does_not_grow() -> None:
    rng = random.Random(0)
    found = judged([200e6 + rng.uniform(-8e6, 8e6) for _ in range(120)], MEMORY)
    assert not found.grows
    assert abs(found.rise) < 3e6


def test_a_leak_of_a_megabyte_a_minute_beyond_both_bounds_is_seen() -> None:
    rng = random.Random(0)
    leak = [100e6 + 2e6 * (number / 12) + rng.uniform(-3e6, 3e6) for number in range(120)]
    assert judged(leak, MEMORY).grows


def test_what_grows_by_less_than_its_fixed_amount_is_let_pass() -> None:
    assert not judged([1e6 + number * 1e4 for number in range(120)], MEMORY).grows


def test_a_descriptor_a_minute_is_seen_and_one_in_all_is_not() -> None:
    assert judged([20 + number // 12 for number in range(120)], FILES).grows
    assert not judged([20 + (number > 60) for number in range(120)], FILES).grows


def test_what_falls_does_not_grow() -> None:
    assert not judged([500.0 - number for number in range(120)], Tolerance()).grows


def test_a_short_series_is_not_judged() -> None:
    assert slope("x", [(number * 5.0, float(number)) for number in range(15)], Tolerance()) is None
