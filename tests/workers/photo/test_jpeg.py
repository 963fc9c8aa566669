"""The differentiable JPEG is like the true one, and lets gradients through."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_sample_images

from workers.failures import Rejected
from workers.photo import jpeg, jpeg_file


@pytest.fixture(scope="module")
def photos():
    """Two real photographs, 3 x 96 x 112 each."""
    pictures = [torch.from_numpy(image[100:196, 200:312].copy()) for image in load_sample_images().images]
    return torch.stack(pictures).permute(0, 3, 1, 2).float() / 255


def apart(a, b):
    """Mean difference in grey levels."""
    return ((a - b).abs().mean() * 255).item()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [95, 75, 50, 20, 5])
def test_it_is_what_pillow_reads_from_its_own_file_to_about_a_grey_level(photos, quality, channels):
    """And much nearer to that than the picture is; grey pictures to a third of a level."""
    x = photos[:, :channels]
    ours, true = jpeg(x, torch.full((2,), float(quality))), jpeg_file(x, quality)
    assert apart(ours, true) < (0.35 if channels == 1 else 1.3)
    assert apart(ours, true) < 0.6 * apart(x, true)


@pytest.mark.parametrize("size", [(8, 8), (17, 23), (1, 1), (9, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_will_do(photos, size, channels):
    """Sizes that are no multiple of a block are filled up with the edge, as encoders do."""
    x = photos[:, :channels, : size[0], : size[1]]
    ours = jpeg(x, torch.tensor([80.0, 80.0]))
    assert ours.shape == x.shape
    assert apart(ours, jpeg_file(x, 80)) < 3


def test_each_sample_has_its_own_quality(photos):
    """A row of a batch is what it is alone."""
    both = jpeg(photos, torch.tensor([90.0, 10.0]))
    assert torch.allclose(both[0], jpeg(photos[:1], torch.tensor([90.0]))[0], atol=1e-6)
    assert apart(both[1], photos[1]) > 2 * apart(jpeg(photos[1:], torch.tensor([90.0]))[0], photos[1])


def test_results_are_whole_grey_levels_in_range(photos):
    """As a file's are."""
    levels = jpeg(photos, torch.tensor([30.0, 60.0])) * 255
    assert (levels - levels.round()).abs().max() < 1e-3
    assert levels.min() >= 0
    assert levels.max() <= 255


def test_the_gradient_passes_straight_through_every_rounding():
    """Of a grey picture away from black and white it is the identity: the transform there and back is orthonormal."""
    x = 0.3 + 0.4 * torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((jpeg(x, torch.tensor([50.0, 90.0])) * weights).sum(), x)
    assert torch.allclose(gradient, weights, atol=1e-4)


def test_the_gradient_in_colour_knows_that_fine_colours_are_thrown_away(photos):
    """Along a pattern of single pixels that has colour but no luma there is no slope; along an even one there is."""
    fine = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)
    colour = torch.tensor([0.587, -0.299, 0.0]).view(3, 1, 1)  # luma 0
    x = (0.4 + 0.2 * photos[:1, :, :16, :16]).requires_grad_()
    (gradient,) = torch.autograd.grad((jpeg(x, torch.tensor([90.0])) * (fine + 1) * colour).sum(), x)
    assert (gradient * fine * colour).sum().abs() < 1e-3
    assert (gradient * colour).sum() == pytest.approx(256 * (colour**2).sum().item(), rel=1e-3)


def test_other_numbers_of_channels_are_refused():
    """Two channels are no picture."""
    for compress in (lambda x: jpeg(x, torch.tensor([50.0])), lambda x: jpeg_file(x, 50)):
        with pytest.raises(Rejected, match="channels"):
            compress(torch.rand(1, 2, 8, 8))
