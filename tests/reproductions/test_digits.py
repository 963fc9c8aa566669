"""What the experiments on digits compute for themselves: sizes of perturbations, targets, distances."""

from __future__ import annotations

import numpy as np
import pytest

from reproductions.experiments.distillation_temperature_attacks import one_target_each
from reproductions.experiments.fooling_images_made import nearest
from reproductions.experiments.szegedy_lbfgs_made import noisy, rms, sized


def digits(count: int = 3) -> np.ndarray:
    """Pictures that are black and white for the most part, as digits are."""
    return (np.random.default_rng(2).random((count, 1, 28, 28)) > 0.8).astype(np.float32)


def test_a_perturbation_is_added_in_the_size_that_is_asked_for() -> None:
    x, r = digits(), np.random.default_rng(3).standard_normal((3, 1, 28, 28))
    loud = sized(x, r, 0.1)
    np.testing.assert_allclose(rms(loud - x), 0.1)
    np.testing.assert_allclose((loud - x) / rms(loud - x)[:, None, None, None], r / rms(r)[:, None, None, None])


def test_noise_has_the_size_of_what_it_is_compared_with() -> None:
    noise = noisy(digits(), 0.3, 0) - digits()
    np.testing.assert_allclose(rms(noise), 0.3)
    assert abs(noise.mean()) < 0.03, "it goes both ways, as nothing is clipped"


@pytest.mark.parametrize("per_class", [1, 3, 10])
def test_each_digit_has_one_target_that_is_not_its_class(per_class: int) -> None:
    order = one_target_each(per_class)
    assert sorted(order) == list(range(10 * per_class)), "each digit once"
    label, target = order // per_class, np.arange(len(order)) % 10
    assert (label != target).all()
    if per_class >= 9:
        assert len(set(zip(label.tolist(), target.tolist(), strict=True))) == 90, "every pair of classes"


def test_the_nearest_digit_is_found_by_its_distance() -> None:
    known, pictures = digits(20), np.random.default_rng(5).random((4, 1, 28, 28))
    each = np.sqrt(np.square(pictures[:, None] - known).sum(axis=(2, 3, 4)))
    np.testing.assert_allclose(nearest(pictures, known), each.min(axis=1))
    np.testing.assert_allclose(nearest(known[:2], known), 0, atol=1e-6)
