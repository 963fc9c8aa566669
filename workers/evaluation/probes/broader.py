"""Pictures that no attack made: turned, moved, blurred, flat, noisy (arXiv:1712.02779, arXiv:1903.12261).

    turned     by 15 and 30 degrees to either side: right in all four
    moved      by a tenth of the side, up, down, left and right: right in all four
    blurred    every pixel the mean of 3 x 3
    contrast   drawn half way to the mean of the picture
    gaussian   noise of standard deviation 0.1, cut to the box

Each is (P,) bool: the model is right there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from workers.evaluation.probes.subject import Subject

TURNS = (-30.0, -15.0, 15.0, 30.0)
"""Degrees."""

MOVE, SIGMA = 0.1, 0.1
"""Part of the side, and pixels in [0, 1]."""

_PURPOSE = -5


def broader(subject: Subject, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Show the P samples `x` (P, C, H, W) with labels `y` (P,) in other ways."""
    subject.reseed()

    def right(pictures: Sequence[Tensor]) -> Tensor:
        return torch.stack([subject.logits(seen.clamp(0, 1)).argmax(dim=1) == y for seen in pictures]).all(dim=0)

    noise = SIGMA * torch.randn(x.shape, generator=subject.generator(_PURPOSE))
    shifts = ((MOVE, 0.0), (-MOVE, 0.0), (0.0, MOVE), (0.0, -MOVE))
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return {
        "turned": right([_placed(x, degrees=turn) for turn in TURNS]),
        "moved": right([_placed(x, shift=shift) for shift in shifts]),
        "blurred": right([F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)]),
        "contrast": right([(x + mean) / 2]),
        "gaussian": right([x + noise]),
    }


def _placed(x: Tensor, *, degrees: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """Turn pictures around their middle, or shift them by parts of their sides; what comes in is black."""
    angle = math.radians(degrees)
    # Coordinates reach from -1 to 1, so a whole side is 2.
    rows = [
        [math.cos(angle), -math.sin(angle), 2 * shift[0]],
        [math.sin(angle), math.cos(angle), 2 * shift[1]],
    ]
    grid = F.affine_grid(torch.tensor(rows).expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)
