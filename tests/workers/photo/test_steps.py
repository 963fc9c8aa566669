"""Each step of the simulated photograph by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from workers.photo import blur, brightness, contrast, crop, gamma, noise, perspective
from workers.photo.optics import unit_corners, warp


@pytest.fixture
def x():
    return torch.rand(3, 3, 9, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def ramps(height, width, count):
    """Pictures whose two channels are the place itself: u in the first, v in the second."""
    u = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    v = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    return torch.stack([u.expand(height, width), v.unsqueeze(1).expand(height, width)]).expand(count, 2, height, width)


def each(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_brightness_adds_and_clips(x):
    """Every sample its own amount."""
    lit = brightness(x, each(0.0, 0.3, -2.0))
    assert torch.equal(lit[0], x[0])
    assert torch.equal(lit[1], (x[1] + 0.3).clamp(max=1))
    assert (lit[2] == 0).all()


def test_contrast_scales_the_distance_to_the_pictures_own_mean(x):
    """Factor 0 leaves the mean alone, factor 1 the picture, and no mean moves while nothing clips."""
    changed = contrast(x, each(0.0, 1.0, 0.5))
    assert torch.allclose(changed[0], x[0].mean())
    assert torch.allclose(changed[1], x[1])
    assert changed[2].std() == pytest.approx(x[2].std() / 2)
    assert changed.flatten(1).mean(dim=1).numpy() == pytest.approx(x.flatten(1).mean(dim=1).numpy())


def test_gamma_is_a_power_above_black_and_finite_below(x):
    """Black stays black, and its slope is a number for exponents below 1 as well."""
    x = x.clamp(min=0.01)
    exponents = each(0.8, 1.0, 1.3)
    assert torch.allclose(gamma(x, exponents), x ** exponents.view(3, 1, 1, 1))
    black = torch.zeros(3, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    printed = gamma(black, exponents)
    assert (printed == 0).all()
    assert torch.autograd.grad(printed.sum(), black)[0].isfinite().all()


def test_noise_adds_the_grain(x):
    """sigma times the grain, clipped."""
    grain = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.equal(noise(x, each(0, 0, 0), grain), x)
    assert torch.allclose(noise(x, each(0.1, 0.1, 0.1), grain), (x + 0.1 * grain).clamp(0, 1))


def test_blur_is_gaussian_where_the_edge_is_far():
    """As scipy's filter in the middle of a picture; 0 leaves it alone; an even picture stays even up to its edges."""
    x = torch.rand(2, 1, 40, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    blurred = blur(x, each(0.0, 1.5))
    expected = gaussian_filter1d(gaussian_filter1d(x[1, 0].numpy(), 1.5, axis=0, truncate=9), 1.5, axis=1, truncate=9)
    assert torch.equal(blurred[0], x[0])
    assert blurred[1, 0, 12:-12, 12:-12].numpy() == pytest.approx(expected[12:-12, 12:-12], abs=1e-6)
    even = torch.full((2, 1, 5, 7), 0.3, dtype=torch.float64)
    assert torch.allclose(blur(even, each(0.5, 3)), even)


def test_a_picture_seen_straight_is_the_same(x):
    """No shift, no cut: the corners are the picture's own."""
    assert torch.allclose(perspective(x, torch.zeros(3, 4, 2, dtype=torch.float64)), x)
    assert torch.allclose(crop(x, torch.zeros(3, 4, dtype=torch.float64)), x)


def test_perspective_is_the_projective_map_that_takes_the_corners_along():
    """Every pixel looks where the solution of the eight equations says."""
    height, width = 30, 40
    shift = 0.03 + 0.1 * torch.rand(2, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    shift *= torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])  # inwards: the edge is not needed
    picture = ramps(height, width, 2)
    seen = perspective(picture, shift)
    corners = (unit_corners(picture) + shift).numpy()
    for sample in range(2):
        rows, right = [], []
        for (s, t), (u, v) in zip([(0, 0), (1, 0), (1, 1), (0, 1)], corners[sample], strict=True):
            rows += [[s, t, 1, 0, 0, 0, -u * s, -u * t], [0, 0, 0, s, t, 1, -v * s, -v * t]]
            right += [u, v]
        a, b, c, d, e, f, g, h = np.linalg.solve(np.array(rows, dtype=float), np.array(right))
        s, t = picture[sample].numpy()
        below = g * s + h * t + 1
        assert seen[sample, 0].numpy() == pytest.approx((a * s + b * t + c) / below)
        assert seen[sample, 1].numpy() == pytest.approx((d * s + e * t + f) / below)


def test_crop_stretches_what_is_left():
    """Margins left, top, right, bottom."""
    seen = crop(ramps(20, 20, 1), each(0.1, 0.2, 0.3, 0.4).view(1, 4))
    inner = ramps(20, 20, 1)
    assert torch.allclose(seen[:, 0], 0.1 + 0.6 * inner[:, 0])
    assert torch.allclose(seen[:, 1], 0.2 + 0.4 * inner[:, 1])


def test_beyond_the_edge_the_edge_is_repeated():
    """Corners outside show the nearest pixel, also of pictures one pixel high or wide."""
    for shape in ((1, 1, 4, 4), (1, 1, 1, 4), (1, 1, 4, 1), (1, 1, 1, 1)):
        x = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
        outside = unit_corners(x) + torch.tensor([[-9.0, -9.0], [9, -9], [9, 9], [-9, 9]])
        seen = warp(x, outside)
        assert seen.shape == x.shape
        assert seen[0, 0, 0, 0] == x[0, 0, 0, 0]
        assert seen[0, 0, -1, -1] == x[0, 0, -1, -1]


@pytest.mark.parametrize(
    "step",
    [
        lambda x: brightness(x, each(0.1, -0.1)),
        lambda x: contrast(x, each(0.8, 1.2)),
        lambda x: gamma(x, each(0.8, 1.2)),
        lambda x: noise(x, each(0.1, 0.0), torch.ones_like(x)),
        lambda x: blur(x, each(0.7, 0.0)),
        lambda x: crop(x, each(0.1, 0.0, 0.2, 0.1).expand(2, 4)),
        lambda x: perspective(x, 0.1 * torch.sin(torch.arange(16, dtype=torch.float64)).view(2, 4, 2)),
    ],
)
def test_gradients_are_those_of_finite_differences(step):
    """Every step can be attacked through."""
    x = 0.3 + 0.4 * torch.rand(2, 1, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    assert torch.autograd.gradcheck(step, (x.requires_grad_(),))
