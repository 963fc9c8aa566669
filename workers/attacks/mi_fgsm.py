"""Momentum iterative fast gradient sign method, with the options that make its examples transfer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from workers.failures import Rejected
from workers.goals import Goal, Model
from workers.threats import L2, Ball, Generators, draw

# DI: the smallest part of its side that a picture is resized to.
_SMALLEST: Final = 0.9
# TI: the kernel reaches so many standard deviations to either side.
_DEVIATIONS: Final = 3.0


def mi_fgsm(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    decay: float,
    nesterov: bool,
    diversity_probability: float,
    kernel_size: int,
    generator: Generators,
) -> Tensor:
    """Steps along a decaying sum of normalised gradients.

        g_{n+1} = decay g_n + W * grad_x J(T(x_n), y) / ||W * grad_x J(T(x_n), y)||
        x_{n+1} = Proj_{x+S}(x_n + step_size steepest(g_{n+1}));   x_0 = x, g_0 = 0

    NI (`nesterov`): the gradient is taken at Proj(x_n + step_size decay g_n). DI (`diversity_probability` p): with
    probability p, T resizes the picture to 0.9 to 1 of its sides and puts it at a random place on black, for each
    sample and step anew. TI (`kernel_size` k, odd): W * convolves with a Gaussian of k x k pixels whose edge is at
    three standard deviations. Without them T and W do nothing. ||g|| is mean |g_i| in L-infinity, |g|_2 in L2.

    `x` (N, ...) in [0, 1], with DI or TI (N, ..., H, W); `steps` >= 1; `step_size` > 0 in units of pixels in [0, 1];
    `decay` >= 0; 0 <= p <= 1; k odd, or 0 for none. Returns x_steps, detached; with DI no point in between is a
    candidate. Raises Rejected: BAD_ATTACK_PARAMETERS.

    Source: arXiv:1710.06081, algorithm 1; NI arXiv:1908.06281, algorithm 1; DI arXiv:1803.06978, section 3.2; TI
    arXiv:1904.02884, section 3.3.
    Differs from the papers in: ||g|| is not the sum of |g_i|, which only matters to the length of NI's look ahead; that
    is projected; a gradient of 0 is left as it is; the resized side is a part of the side, not 299 to 330.
    """
    if (diversity_probability > 0 or kernel_size > 0) and x.ndim < 3:
        raise Rejected("BAD_ATTACK_PARAMETERS", "mi_fgsm: diversity_probability and kernel_size need pictures")
    if kernel_size > 0 and kernel_size % 2 == 0:
        raise Rejected("BAD_ATTACK_PARAMETERS", f"mi_fgsm: kernel_size must be odd, or 0 for none, not {kernel_size}")
    S, xₙ, g = ball.around(x), x, torch.zeros_like(x)
    for _ in range(steps):
        point = S.project(xₙ.add(g, alpha=step_size * decay)) if nesterov else xₙ
        if diversity_probability > 0:
            T = _draw_sizes(x, diversity_probability, generator)
            slope = goal.gradient(partial(_through, model, T), point, candidates=False)
        else:
            slope = goal.gradient(model, point)
        if kernel_size > 0:
            slope = _smooth(slope, kernel_size)
        g = decay * g + _normalised(slope, ball)
        xₙ = S.project(xₙ.add(ball.steepest(g), alpha=step_size))
    return xₙ


def _normalised(slope: Tensor, ball: Ball) -> Tensor:
    """Return slope / ||slope||, divided by its largest entry first; 0 where it is 0."""
    flat = slope.flatten(1)
    largest = flat.abs().amax(dim=1, keepdim=True)
    scaled = flat / torch.where(largest > 0, largest, 1)
    size = scaled.norm(dim=1, keepdim=True) if isinstance(ball, L2) else scaled.abs().mean(dim=1, keepdim=True)
    return (scaled / torch.where(largest > 0, size, 1)).view(slope.shape)


@dataclass(frozen=True)
class _Sizes:
    """How each picture is resized, and where it is put: (N,) each."""

    applies: Tensor  # bool
    height: Tensor  # whole numbers
    width: Tensor
    top: Tensor
    left: Tensor


def _draw_sizes(x: Tensor, probability: float, generator: Generators) -> _Sizes:
    """Draw a part of the sides for each sample, the same for both, and a place."""
    applies, part, top, left = draw(torch.rand, x.new_empty(len(x), 4), generator).unbind(dim=1)
    H, W = x.shape[-2:]
    height, width = ((side * (_SMALLEST + (1 - _SMALLEST) * part)).round() for side in (H, W))
    return _Sizes(
        applies < probability, height, width, (top * (H + 1 - height)).floor(), (left * (W + 1 - width)).floor()
    )


def _through(model: Model, sizes: _Sizes, x: Tensor) -> Tensor:
    return model(_resized(x, sizes))


def _resized(x: Tensor, sizes: _Sizes) -> Tensor:
    """Resize bilinearly and pad with 0 to the old size."""
    H, W = x.shape[-2:]
    picture = x.reshape(len(x), -1, H, W)
    v, inside_v = _source(H, sizes.height, sizes.top)  # (N, H) each
    u, inside_u = _source(W, sizes.width, sizes.left)
    grid = torch.stack([u.unsqueeze(1).expand(-1, H, -1), v.unsqueeze(2).expand(-1, -1, W)], dim=3)
    resized = F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)
    resized = resized * (inside_v.unsqueeze(2) & inside_u.unsqueeze(1)).unsqueeze(1)
    return torch.where(sizes.applies.view(-1, 1, 1, 1), resized, picture).reshape(x.shape)


def _source(side: int, size: Tensor, begin: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each of the pixels of a side comes from, in [-1, 1] and if it is of the picture."""
    pixel = torch.arange(side, device=size.device) - begin.unsqueeze(1)
    return (2 * pixel + 1) / size.unsqueeze(1) - 1, (pixel >= 0) & (pixel < size.unsqueeze(1))


def _smooth(slope: Tensor, kernel_size: int) -> Tensor:
    """Convolve each channel with a Gaussian, first along the columns and then along the rows; 0 beyond the edges."""
    H, W = slope.shape[-2:]
    t = torch.linspace(-_DEVIATIONS, _DEVIATIONS, kernel_size, device=slope.device, dtype=slope.dtype)
    kernel = (-t.square() / 2).exp()
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1)
    channels, half = slope.reshape(-1, 1, H, W), kernel_size // 2
    columns = F.conv2d(channels, kernel, padding=(half, 0))
    return F.conv2d(columns, kernel.transpose(2, 3), padding=(0, half)).view(slope.shape)
