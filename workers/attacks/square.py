"""Square attack: random search over squares of the picture, with nothing but the scores."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import L1, Ball, Generators, Linf, draw

# After which of 10,000 queries the share of the picture that a square covers is halved.
_HALVED: Final = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# For so many queries random numbers are drawn at once; then it is looked which samples are still attacked.
_BLOCK: Final = 32
# L2 and L1: the bumps along each side of the first point, and the shortest side of a square.
_TILES, _SHORTEST = 5, 3
# Below every length that matters, above 0.
_TINY: Final = 1e-30


def square(
    model: Model, x: Tensor, goal: Goal, ball: Ball, *, queries: int, p_init: float, generator: Generators
) -> Tensor:
    """Move one random square of the picture to another place of the ball, and keep that where the objective rises.

        x_0 = P_0(x);   x_{n+1} = x_n + delta where f(x_n + delta) > f(x_n), else x_n;   delta ~ P(epsilon, x_n, x)

    In L-infinity x_0 has vertical stripes of x +- epsilon, and delta sets each channel of a square to x + epsilon or
    x - epsilon. In L2 and L1 x_0 is tiled with bumps, and delta moves length: it clears one square of its change, and
    adds a bump to another, as long as both were together and what epsilon has left. The square covers a share p of the
    picture: p_init, halved after 0.1, 0.5, 2, 5, 10, 20, 40, 60 and 80 % of the queries.

    `x` (N, ..., H, W) in [0, 1], or (N, D), which is a picture of one row; where the square would be higher or wider
    than the picture, it is a rectangle of the same area. `queries` >= 1; 0 < `p_init` <= 1. Returns the best point,
    detached. The objective f is the goal's; restarts are the engine's.

    Source: arXiv:1912.00049, algorithms 1 to 3; L1: arXiv:2103.01208, section 5.
    Differs from the paper in: samples share no squares; a target may have any objective, not only cross-entropy.
    """
    height, width = x.shape[-2:] if x.ndim > 2 else (1, x.shape[1])
    pictures = x.reshape(len(x), -1, height, width)
    moves = _Corners if isinstance(ball, Linf) else _Bumps
    rows, best = goal.alive, moves(ball, pictures).start(generator)
    f = goal.objective(goal.logits(model, best.view(x.shape)))
    for begin in range(1, queries, _BLOCK):
        rows = goal.alive
        move, xₙ, fₙ = moves(ball.select(rows), pictures[rows]), best[rows], f[rows]
        own = generator if isinstance(generator, torch.Generator) else [generator[row] for row in rows.tolist()]
        numbers = draw(torch.rand, x.new_empty(len(rows), _BLOCK, move.numbers), own)
        for n in range(begin, min(begin + _BLOCK, queries)):
            point = move.propose(xₙ, numbers[:, n - begin], _share(n / queries, p_init))
            logits = goal.logits(model, point.view(len(rows), *x.shape[1:]), rows)
            worth = goal.objective(logits, rows)
            higher = (worth > fₙ) | goal.hit(logits, rows)
            xₙ, fₙ = torch.where(_over(higher), point, xₙ), torch.where(higher, worth, fₙ)
        best, f = best.index_copy(0, rows, xₙ), f.index_copy(0, rows, fₙ)
    return best.view(x.shape)


def _share(progress: float, p_init: float) -> float:
    """Return the share p of the picture that the squares cover after a part of the queries."""
    return p_init * 0.5 ** sum(10000 * progress > mark for mark in _HALVED)


def _window(side: int, height: int, width: int) -> tuple[int, int]:
    """Return the sides of a square, or of a rectangle of the same area where it does not fit into the picture."""
    h = min(side, height)
    w = min(round(side**2 / h), width)
    return min(max(h, round(side**2 / w)), height), w


class _Corners:
    """L-infinity: every pixel is at one end of its interval."""

    def __init__(self, ball: Ball, x: Tensor) -> None:
        region = ball.around(x)
        self.low, self.high = region.project(x - 2), region.project(x + 2)  # (N, C, H, W)
        self.numbers = 2 + x.shape[1]

    def start(self, generator: Generators) -> Tensor:
        """Return vertical stripes, one pixel wide, of either end."""
        return torch.where(draw(torch.rand, self.low[:, :, :1], generator) < 0.5, self.low, self.high)

    def propose(self, point: Tensor, u: Tensor, share: float) -> Tensor:
        """Set each channel of a square to either end; u (N, 2 + C) in [0, 1) says where, and which."""
        N, C, H, W = point.shape
        h, w = _window(max(1, round(math.sqrt(share * H * W))), H, W)
        vertical, horizontal = _span(u[:, 0], h, H), _span(u[:, 1], w, W)
        inside = vertical.view(N, 1, H, 1) & horizontal.view(N, 1, 1, W)
        return torch.where(inside, torch.where(u[:, 2:].view(N, C, 1, 1) < 0.5, self.low, self.high), point)


class _Bumps:
    """L2 and L1: the change consists of bumps, and every square moves some of its length."""

    def __init__(self, ball: Ball, x: Tensor) -> None:
        self.region, self.x = ball.around(x), x
        self.order = 1 if isinstance(ball, L1) else 2
        self.room = torch.as_tensor(ball.radius(x.flatten(1)), dtype=x.dtype, device=x.device) ** self.order
        self.numbers = 5 + x.shape[1]

    def start(self, generator: Generators) -> Tensor:
        """Return a picture tiled with bumps of random signs, each the right way up or lying on its side."""
        N, C, H, W = self.x.shape
        h, w = max(H // _TILES, 1), max(W // _TILES, 1)
        u = draw(torch.rand, self.x.new_empty(N, C + 1, H // h, W // w, 1, 1), generator)
        bumps = _bumps(h, w, self.order).to(self.x).view(2, h, w)
        tiles = torch.where(u[:, C:] < 0.5, bumps[0], bumps[1]) * torch.where(u[:, :C] < 0.5, -1, 1)
        delta = torch.zeros_like(self.x)
        delta[:, :, : H // h * h, : W // w * w] = tiles.transpose(3, 4).reshape(N, C, H // h * h, W // w * w)
        size = delta.flatten(1).abs().pow(self.order).sum(dim=1, keepdim=True)
        scale = (self.room / size.clamp_min(_TINY)) ** (1 / self.order)
        return self.region.project(self.x + _over(scale) * delta)

    def propose(self, point: Tensor, u: Tensor, share: float) -> Tensor:
        """Clear one square and add a bump to another; u (N, 5 + C) in [0, 1) says where, which way up, which sign."""
        _, C, H, W = point.shape
        # Odd, so that a bump has a middle.
        side = max(_SHORTEST, round(math.sqrt(share * H * W))) // 2 * 2 + 1
        h, w = _window(side, H, W)
        filled, cleared = (_cells(u[:, i : i + 2], (h, w), (H, W)).expand(-1, C, -1) for i in (0, 2))
        delta = (point - self.x).flatten(2)  # (N, C, H W)
        rest = delta.scatter(2, cleared, 0).scatter(2, filled, 0)
        spent, kept = (v.abs().pow(self.order).sum(dim=2) for v in (delta, rest))  # (N, C)
        left = (self.room - spent.sum(dim=1, keepdim=True)).clamp_min(0) / C
        length = ((spent - kept).clamp_min(0) + left) ** (1 / self.order)
        bumps = _bumps(h, w, self.order).to(self.x)
        bump = (
            torch.where(u[:, 4:5] < 0.5, bumps[0], bumps[1]).unsqueeze(1)
            * torch.where(u[:, 5:] < 0.5, -1, 1)[..., None]
        )
        added = bump + self._unit(delta.gather(2, filled))
        rest.scatter_(2, filled, self._unit(added) * length.unsqueeze(2))
        return self.region.project(self.x + rest.view(point.shape))

    def _unit(self, v: Tensor) -> Tensor:
        """Return v (N, C, k) with every channel at length 1, or 0."""
        length: Tensor = torch.linalg.vector_norm(v, self.order, dim=2, keepdim=True)
        return v / length.clamp_min(_TINY)


def _span(u: Tensor, length: int, side: int) -> Tensor:
    """Return which pixels of a side are in a window of this length, anywhere on it, (N, side) bool."""
    begin = _begin(u, length, side).unsqueeze(1)
    pixel = torch.arange(side, device=u.device)
    return (pixel >= begin) & (pixel < begin + length)


def _begin(u: Tensor, length: int, side: int) -> Tensor:
    """Return where the window begins, (N,) int64; the product may round up to the next number."""
    return (u * (side - length + 1)).long().clamp_(max=side - length)


def _cells(u: Tensor, window: tuple[int, int], picture: tuple[int, int]) -> Tensor:
    """Return the numbers of the pixels in a window anywhere in the picture, (N, 1, h w) int64; u (N, 2)."""
    (h, w), (H, W) = window, picture
    top, left = _begin(u[:, 0], h, H), _begin(u[:, 1], w, W)
    cell = torch.arange(h, device=u.device).unsqueeze(1) * W + torch.arange(w, device=u.device)
    return ((top * W + left).view(-1, 1) + cell.flatten()).unsqueeze(1)


@cache
def _bumps(h: int, w: int, order: int) -> Tensor:
    """Return two bumps (2, h w) of length 1: the upper half up and the lower down, and the left and the right half.

    Where there is but one row (column), both are split the other way.
    """
    upper = torch.cat([_pyramid(h // 2, w), -_pyramid(h - h // 2, w)])
    left = torch.cat([_pyramid(h, w // 2), -_pyramid(h, w - w // 2)], dim=1)
    both = torch.stack([upper if h > 1 else left, left if w > 1 else upper]).flatten(1)
    length: Tensor = torch.linalg.vector_norm(both, order, dim=1, keepdim=True)
    return both / length


def _pyramid(h: int, w: int) -> Tensor:
    """Return sum over j from d + 1 to m + 1 of 1 / j^2 for each pixel: d its distance from the middle, m the largest.

    Source: arXiv:1912.00049, eq. 2; the distance is the larger one of rows and columns.
    """
    down, across = (torch.arange(side) - side // 2 for side in (h, w))
    distance = torch.maximum(down.abs().unsqueeze(1), across.abs().unsqueeze(0))
    m = max(h, w) // 2
    terms = 1 / torch.arange(1, m + 2).double().square()
    worth: Tensor = terms.flip(0).cumsum(0).flip(0)
    return worth[distance].float()


def _over(each: Tensor) -> Tensor:
    """Shape (N,) or (N, 1) so that it broadcasts over (N, C, H, W)."""
    return each.view(-1, 1, 1, 1)
