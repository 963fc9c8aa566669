"""What the lens and the angle do: perspective, crop, blur.

Each sample has its own geometry. Where a result looks beyond the picture, the picture's edge is repeated.

Legend: x (N, C, H, W) in [0, 1]; places in a picture are (u, v) in [0, 1]^2, u to the right and v down.
"""

from __future__ import annotations

import torch
from torch import Tensor


def perspective(x: Tensor, shift: Tensor) -> Tensor:
    """The picture seen at a slight angle, or rectified by corners that were found a little off.

    The result's corners show what is `shift` (N, 4, 2) away from the picture's own, in shares of the side, in the order
    top left, top right, bottom right, bottom left; all else follows by the one projective map that does this.
    """
    return warp(x, unit_corners(x) + shift)


def crop(x: Tensor, margins: Tensor) -> Tensor:
    """Cut off `margins` (N, 4), the shares of the side at left, top, right, bottom, and stretch the rest back."""
    return warp(x, unit_corners(x) + inward(margins))


def unit_corners(x: Tensor) -> Tensor:
    """The picture's own corners: top left, top right, bottom right, bottom left; (N, 4, 2)."""
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=x.dtype, device=x.device)
    return square.expand(len(x), 4, 2)


def inward(margins: Tensor) -> Tensor:
    """How far each corner moves when `margins` (N, 4) are cut off, (N, 4, 2)."""
    left, top, right, bottom = margins.unbind(dim=1)
    moves = (left, top, -right, top, -right, -bottom, left, -bottom)
    return torch.stack(moves, dim=1).view(-1, 4, 2)


def warp(x: Tensor, corners: Tensor) -> Tensor:
    """Show in the result's corners what is at `corners` (N, 4, 2), and between them by a projective map; bilinear.

    The pixels are taken by indexing and not by `grid_sample`, because the gradient of an index is summed in a fixed
    order on a GPU as well, so that the same attack gives the same bytes.
    """
    N, C, H, W = x.shape
    u, v = _places(corners, H, W)
    column = (u * W - 0.5).clamp(0, W - 1)
    row = (v * H - 0.5).clamp(0, H - 1)
    left, above = column.floor().clamp(max=max(W - 2, 0)), row.floor().clamp(max=max(H - 2, 0))
    to_right, down = (column - left).unsqueeze(3), (row - above).unsqueeze(3)
    first = torch.arange(N, device=x.device).view(N, 1, 1) * (H * W)
    corner = first + (above * W + left).long()
    right, below = min(W - 1, 1), W * min(H - 1, 1)  # a picture one pixel wide or high has no neighbour there
    pixels = x.permute(0, 2, 3, 1).reshape(N * H * W, C)
    upper = (1 - to_right) * pixels[corner] + to_right * pixels[corner + right]
    lower = (1 - to_right) * pixels[corner + below] + to_right * pixels[corner + below + right]
    return ((1 - down) * upper + down * lower).permute(0, 3, 1, 2)


def _places(corners: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each pixel of the result looks, u and v (N, H, W): the map that takes the unit square to `corners`.

    (u, v) = ((a s + b t + c), (d s + e t + f)) / (g s + h t + 1) for the pixel's own place (s, t), whose eight numbers
    four corners determine: g and h by Cramer's rule, the others from the corners next to (0, 0).
    """
    p0, p1, p2, p3 = corners.unsqueeze(3).unsqueeze(4).unbind(dim=1)  # (N, 2, 1, 1) each
    e1, e3, rest = p1 - p2, p3 - p2, p0 - p1 + p2 - p3
    area = _cross(e1, e3)
    g, h = _cross(rest, e3) / area, _cross(e1, rest) / area
    s = (torch.arange(width, device=corners.device, dtype=corners.dtype) + 0.5) / width
    t = (torch.arange(height, device=corners.device, dtype=corners.dtype).unsqueeze(1) + 0.5) / height
    place = (p1 - p0 + g * p1) * s + (p3 - p0 + h * p3) * t + p0
    u, v = (place / (g * s + h * t + 1)).unbind(dim=1)
    return u, v


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """a_u b_v - a_v b_u, (N, 1, 1, 1)."""
    return a[:, :1] * b[:, 1:] - a[:, 1:] * b[:, :1]


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of standard deviation `sigma` (N,) pixels; 0 leaves the picture as it is.

    Computed as K_H x K_W^T with the matrix K_ij ~ exp(-(i - j)^2 / (2 sigma^2)), rows summing to 1: beyond the edge
    there is nothing, and what is there counts the more.
    """
    rows, columns = _kernel(x.shape[2], sigma), _kernel(x.shape[3], sigma)
    return rows @ x @ columns.mT


def _kernel(size: int, sigma: Tensor) -> Tensor:
    """The blur along one side as a matrix, (N, 1, size, size)."""
    place = torch.arange(size, device=sigma.device, dtype=sigma.dtype)
    squares = (place.unsqueeze(1) - place).square()
    spread = sigma.clamp_min(1e-3).square().view(-1, 1, 1, 1)  # so narrow that only the pixel itself is left
    weights = (-squares / (2 * spread)).exp()
    return weights / weights.sum(dim=3, keepdim=True)
