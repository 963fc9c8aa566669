"""JPEG: a differentiable likeness, and the true one.

The standard's steps (ITU-T T.81): luma and two chromas, the chromas at half the size, cosine transform of blocks of
8 x 8, division by a table, rounding, and back. Rounding has slope 0 nearly everywhere; here it passes gradients through
as they are ("straight-through"), so that an attack sees which frequencies the table throws away.

Legend: x (N, C, H, W) in [0, 1], C = 1 or 3; quality (N,) from 1 to 100, as in libjpeg.

Measured against Pillow 13 (libjpeg-turbo) on the 20 pictures of `imagenet20` at qualities 90, 50 and 20: see
tests/workers/photo/test_jpeg.py, which holds the mean difference below one grey level.
"""

from __future__ import annotations

import io
import math
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from workers.failures import Rejected

_BLOCK: Final = 8

# The tables that T.81 recommends (annex K.1 and K.2), at quality 50.
_LUMA: Final = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA: Final = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *(99, 99, 99, 99, 99, 99, 99, 99),
    *(99, 99, 99, 99, 99, 99, 99, 99),
    *(99, 99, 99, 99, 99, 99, 99, 99),
    *(99, 99, 99, 99, 99, 99, 99, 99),
)

# Red, green, blue to luma and the two chromas, and back (JFIF, full range).
_TO_YCC: Final = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """What is left of x after compression at each sample's own quality, with gradients; multiples of 1/255.

    Raises `Rejected` for pictures of other than one or three channels.
    """
    _, C, H, W = x.shape
    _check_channels(C)
    grey_levels = _rounded(x * 255)
    if C == 1:
        luma = _compressed(grey_levels - 128, _table(_LUMA, quality)) + 128
        return _rounded(luma.clamp(0, 255)) / 255
    planes = torch.einsum("kc,nchw->nkhw", x.new_tensor(_TO_YCC), grey_levels)
    luma = _compressed(planes[:, :1] - 128, _table(_LUMA, quality)) + 128
    padded = F.pad(planes[:, 1:], (0, W % 2, 0, H % 2), mode="replicate")
    small = _compressed(F.avg_pool2d(padded, 2), _table(_CHROMA, quality))
    chroma = (_doubling(small.shape[2], x) @ small @ _doubling(small.shape[3], x).T)[:, :, :H, :W]
    colours = torch.einsum("ck,nkhw->nchw", x.new_tensor(_TO_RGB), torch.cat([luma, chroma], dim=1))
    return _rounded(colours.clamp(0, 255)) / 255


def jpeg_file(x: Tensor, quality: int) -> Tensor:
    """What Pillow reads from the JPEG file that it wrote of each picture: the true thing, without a gradient.

    x is rounded to whole grey levels first, as a file must be. Chromas are at half the size (4:2:0).
    """
    _check_channels(x.shape[1])
    pixels = (x.detach() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    read = [torch.from_numpy(_through_file(picture, quality)) for picture in pixels]
    return torch.stack(read).view(len(x), *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2).to(x) / 255


def _through_file(picture: np.ndarray, quality: int) -> np.ndarray:
    with io.BytesIO() as file:
        Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(
            file, "JPEG", quality=quality, subsampling=2
        )
        return np.array(Image.open(file))


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise Rejected("SHAPE_MISMATCH", f"JPEG takes pictures of 1 or 3 channels, not {channels}")


def _rounded(values: Tensor) -> Tensor:
    """Whole numbers forward, the identity backward."""
    return values + (values.round() - values).detach()


def _table(base: tuple[int, ...], quality: Tensor) -> Tensor:
    """The table of divisors for each quality by libjpeg's rule, (N, 1, 1, 8, 1, 8)."""
    quality = quality.round().clamp(1, 100).view(-1, 1, 1)
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    table = (quality.new_tensor(base).view(1, _BLOCK, _BLOCK) * scale + 50).div(100).floor().clamp(1, 255)
    return table.view(-1, 1, 1, _BLOCK, 1, _BLOCK)


def _compressed(plane: Tensor, table: Tensor) -> Tensor:
    """Blocks of 8 x 8 through the cosine transform, division, rounding, and back; (N, C, H, W), any H and W."""
    N, C, H, W = plane.shape
    padded = F.pad(plane, (0, -W % _BLOCK, 0, -H % _BLOCK), mode="replicate")
    blocks = padded.view(N, C, padded.shape[2] // _BLOCK, _BLOCK, padded.shape[3] // _BLOCK, _BLOCK)
    D = _cosines(plane)
    frequencies = torch.einsum("ui,nchiwj,vj->nchuwv", D, blocks, D)
    kept = _rounded(frequencies / table) * table
    return torch.einsum("ui,nchuwv,vj->nchiwj", D, kept, D).reshape(padded.shape)[:, :, :H, :W]


def _cosines(like: Tensor) -> Tensor:
    """The orthonormal cosine transform of 8 points, (8, 8): rows are frequencies."""
    place = torch.arange(_BLOCK, device=like.device, dtype=like.dtype)
    waves = torch.cos(math.pi / _BLOCK * (place + 0.5) * place.unsqueeze(1))
    waves[0] *= math.sqrt(0.5)
    return waves * math.sqrt(2 / _BLOCK)


def _doubling(size: int, like: Tensor) -> Tensor:
    """Twice as many points, each 3/4 of the nearest and 1/4 of the next one, as decoders do: (2 size, size)."""
    eye = torch.eye(size, device=like.device, dtype=like.dtype).unsqueeze(0)
    return F.interpolate(eye, scale_factor=2, mode="linear", align_corners=False)[0].T
