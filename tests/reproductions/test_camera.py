"""The simulated camera: each part does its one thing, and without strength it does nothing."""

from __future__ import annotations

import numpy as np
import pytest

from reproductions.experiments.physical_world_camera import (
    Camera,
    blur,
    brightness,
    contrast,
    jpeg,
    noise,
    photograph,
    transformations,
    warp,
)

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def smooth(channels: int = 3, side: int = 28) -> np.ndarray:
    """Pictures that change slowly, (2, C, side, side)."""
    ramp = np.linspace(0.2, 0.8, side)
    one = np.stack([(ramp[:, None] * (c + 1) + ramp) / (c + 2) for c in range(channels)])
    return np.stack([one, one[:, ::-1]])


def draw() -> np.random.Generator:
    return np.random.default_rng(4)


def test_light_and_contrast_are_what_they_say() -> None:
    x = smooth()
    np.testing.assert_allclose(brightness(x, 0.1), x + 0.1)
    np.testing.assert_allclose(contrast(x, 1), x)
    pressed = contrast(x, 0.5)
    np.testing.assert_allclose(pressed.mean(axis=(1, 2, 3)), x.mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(pressed.std(), x.std() / 2, rtol=0.02)


def test_a_blur_leaves_what_is_flat_and_spreads_a_dot() -> None:
    np.testing.assert_allclose(blur(np.full((1, 1, 9, 9), 0.3), 2), 0.3)
    dot = np.zeros((1, 1, 21, 21))
    dot[0, 0, 10, 10] = 1
    spread = blur(dot, 1.5)[0, 0]
    place = np.arange(21) - 10
    assert (spread.sum(axis=0) * place**2).sum() == pytest.approx(1.5**2, rel=0.02)


def test_noise_has_the_size_that_is_asked_for() -> None:
    x = np.full((4, 1, 64, 64), 0.5)
    assert (noise(x, 0.05, draw()) - x).std() == pytest.approx(0.05, rel=0.03)


def test_the_corners_themselves_change_nothing_and_half_of_them_show_half() -> None:
    x = smooth()
    np.testing.assert_allclose(warp(x, SQUARE), x, atol=1e-9)
    near = warp(x, SQUARE / 2)
    np.testing.assert_allclose(
        near[:, :, 10, 20],
        (x[:, :, 4, 10] + 3 * x[:, :, 5, 10]) / 4 * 0.75 + (x[:, :, 4, 9] + 3 * x[:, :, 5, 9]) / 4 * 0.25,
        atol=0.03,
    )
    turned = warp(x, SQUARE[[1, 2, 3, 0]])
    np.testing.assert_allclose(turned, np.rot90(x, axes=(2, 3)), atol=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_near_at_high_quality_and_further_at_low(channels: int) -> None:
    x = smooth(channels) + 0.1 * draw().standard_normal((2, channels, 28, 28))
    far = [np.abs(jpeg(x, quality) - np.clip(x, 0, 1)).mean() for quality in (95, 50, 10)]
    assert far == sorted(far)
    assert jpeg(x, 50).shape == x.shape
    assert np.abs(jpeg(smooth(channels), 95) - smooth(channels)).max() < 0.04


def test_a_perfect_camera_gives_the_picture_back() -> None:
    perfect = Camera(perspective=0, crop=0, blur=0, brightness=0, contrast=0, gamma=0, noise=0, quality=100)
    assert np.abs(photograph(smooth(), perfect, draw()) - smooth()).max() < 0.03


def test_photographs_are_different_each_time_and_the_same_from_the_same_numbers() -> None:
    x, camera = smooth(), Camera()
    first, again = photograph(x, camera, draw()), photograph(x, camera, draw())
    np.testing.assert_array_equal(first, again)
    stream = draw()
    assert not np.array_equal(photograph(x, camera, stream), photograph(x, camera, stream))
    assert first.shape == x.shape
    assert 0 <= first.min() <= first.max() <= 1


@pytest.mark.parametrize("side", [28, 224])
def test_every_transformation_stays_in_the_box(side: int) -> None:
    x = draw().random((1, 3, side, side))
    changed = {name: change(x, draw()) for name, change in transformations(side).items()}
    assert len(changed) == 11
    for name, result in changed.items():
        assert result.shape == x.shape, name
        assert 0 <= result.min() <= result.max() <= 1, name
        assert not np.array_equal(result, x), name
