"""The whole way from a file to a print to a photograph's file, simulated.

Nothing was printed: strengths are chosen, not measured. The order is that of the things themselves: the print's tones,
the angle and the cut, the lens, the light, the sensor, the camera's file.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workers.failures import Rejected
from workers.photo import light, optics
from workers.photo.jpeg import jpeg
from workers.threats import Generators, draw

# Uniform numbers that one photograph of one picture takes.
_SHIFTS, _CUTS, _OTHERS = 8, 4, 6

# JPEG quality from which on there is no compression.
_LOSSLESS = 100


@dataclass(frozen=True, kw_only=True)
class Strengths:
    """How much may go wrong; every photograph draws each number from 0 to there, or from minus to plus."""

    # Largest shift of a corner along either side, in shares of the side, [0, 0.5).
    perspective: float = 0.05
    # Largest share of a side that is cut off, [0, 0.5].
    crop: float = 0.05
    # Largest standard deviation of the lens's blur, in pixels.
    blur: float = 0.5
    # Lowest quality of the camera's file, 1 to 100; 100 is no compression.
    jpeg_quality: float = 80
    # Largest standard deviation of the sensor's noise, in units of pixels in [0, 1].
    noise: float = 0.02
    # Largest amount of light more or less, in units of pixels in [0, 1].
    brightness: float = 0.1
    # Largest departure of the contrast's factor from 1.
    contrast: float = 0.1
    # Largest departure of the print's exponent from 1.
    gamma: float = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Shots:
    """What was drawn for one photograph of each of N pictures."""

    corners: Tensor  # (N, 4, 2) how far each corner is off, cut included
    gamma: Tensor  # (N,)
    blur: Tensor  # (N,) pixels
    contrast: Tensor  # (N,)
    brightness: Tensor  # (N,)
    noise: Tensor  # (N,) standard deviation
    grain: Tensor  # (N, C, H, W) from N(0, 1)
    quality: Tensor | None  # (N,); None: no compression


def draw_shots(strengths: Strengths, x: Tensor, generator: Generators) -> Shots:
    """Draw a photograph of each picture of x (N, C, H, W), each from its own stream if there is one per sample."""
    if x.ndim != 4:
        raise Rejected("SHAPE_MISMATCH", f"only pictures (N, C, H, W) can be photographed, not {tuple(x.shape)}")
    numbers = draw(torch.rand, x.new_empty(len(x), _SHIFTS + _CUTS + _OTHERS), generator)
    shift, cut, other = torch.split(numbers, [_SHIFTS, _CUTS, _OTHERS], dim=1)
    share, place = strengths.crop * cut[:, :2], cut[:, 2:]  # of what is cut, how much at the left and the top
    margins = torch.cat([share * place, share * (1 - place)], dim=1)
    corners = strengths.perspective * (2 * shift - 1).view(-1, 4, 2) + optics.inward(margins)
    blur, quality, noise, brightness, contrast, gamma = other.unbind(dim=1)
    lossy = strengths.jpeg_quality < _LOSSLESS
    return Shots(
        corners=corners,
        gamma=1 + strengths.gamma * (2 * gamma - 1),
        blur=strengths.blur * blur,
        contrast=1 + strengths.contrast * (2 * contrast - 1),
        brightness=strengths.brightness * (2 * brightness - 1),
        noise=strengths.noise * noise,
        grain=draw(torch.randn, x, generator),
        quality=_LOSSLESS - (_LOSSLESS - strengths.jpeg_quality) * quality if lossy else None,
    )


def photograph(x: Tensor, shots: Shots) -> Tensor:
    """Print and photograph x (N, C, H, W) in [0, 1] with what was drawn; differentiable in x, results in [0, 1].

    Perspective and crop are one resampling, as in a camera, where a picture is not resampled twice.
    """
    printed = light.gamma(x, shots.gamma)
    seen = optics.blur(optics.warp(printed, optics.unit_corners(x) + shots.corners), shots.blur)
    lit = light.brightness(light.contrast(seen, shots.contrast), shots.brightness)
    taken = light.noise(lit, shots.noise, shots.grain)
    return taken if shots.quality is None else jpeg(taken, shots.quality)
