"""The balls in which few pixels change much: the sum of the changes is bounded, or their number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.threats.region import TOLERANCE, Generators, Radius, Region, Round, draw, length, room

# The part of the pixels that a step in L1 moves.
_STEP: Final = 0.01


@dataclass(frozen=True, eq=False)
class L1(Round):
    """S(x) = { x' : sum_i |x'_i - x_i| <= epsilon }: the changes have a bounded sum."""

    def around(self, x: Tensor) -> Region:
        """Return the part of the cross-polytope that is in the box."""
        return _CutPolytope(self.radius(x.flatten(1)), x)

    def steepest(self, gradient: Tensor, at: Tensor | None = None) -> Tensor:
        """Return s / |s|_1, s the signs of the hundredth of the pixels whose gradients are the largest; at least one.

        `at`: pixels that are at the end of the box already, and would have to go beyond, are left out.

        Source: arXiv:1904.13000, section 3 (sparse descent, at its quantile of 99 %).
        Differs from the paper in: the number of pixels is fixed, so equal gradients do not make it larger. The one
        largest pixel alone would climb fastest, but then many steps are needed to spend epsilon.
        """
        g = gradient.flatten(1)
        if at is not None:
            g = torch.where(room(at.flatten(1), g) > 0, g, 0)
        largest = g.abs().topk(math.ceil(_STEP * g.shape[1]), dim=1).indices
        signs = torch.zeros_like(g).scatter_(1, largest, g.gather(1, largest).sign())
        return signs.div_(length(signs, order=1).clamp_min_(1)).view(gradient.shape)

    def shortest(self, x: Tensor, slope: Tensor, gain: Tensor) -> Tensor:
        """Move the pixels with the largest slopes to the end of the box, one after the other."""
        return _one_by_one(x, slope, gain, lambda w, _: w.abs())

    def distance(self, point: Tensor, x: Tensor) -> Tensor:
        """Return sum_i |point_i - x_i|, summed in float64."""
        return (point - x).abs_().flatten(1).sum(dim=1, dtype=torch.float64).float()


@dataclass(frozen=True, eq=False)
class _CutPolytope:
    """The cross-polytope around x, cut with the box."""

    epsilon: Radius  # a number, or (N, 1)
    x: Tensor

    def project(self, point: Tensor) -> Tensor:
        """Return x + sign(delta) clip(|delta| - lambda, 0, room), delta = point - x, with the least lambda >= 0.

        `room` is how far the box lets a pixel go. The length, a sum over the pixels, is piecewise linear in lambda,
        with a kink where a pixel leaves the end of the box, and one where it is back at x; between two of them lambda
        is solved for.

        Source: arXiv:2103.01208, proposition 1 (projection onto the intersection of L1-ball and box).
        """
        delta = (point - self.x).flatten(1)  # (N, D)
        far, end = delta.abs(), room(self.x.flatten(1), delta)
        moved = far.minimum(end)
        length_at_0 = moved.sum(dim=1, keepdim=True, dtype=torch.float64)  # (N, 1)
        kinks, order = torch.cat([far - moved, far], dim=1).sort(dim=1)  # (N, 2 D) pixels begin to shrink, and end
        # How many pixels shrink after each kink, so how fast the length falls.
        turns = torch.ones_like(kinks).masked_fill_(order >= delta.shape[1], -1)
        falling = turns.cumsum(dim=1, dtype=torch.float64)
        lost = (falling[:, :-1] * kinks.diff(dim=1)).cumsum(dim=1)  # until each kink but the first
        lost = torch.cat([torch.zeros_like(length_at_0), lost], dim=1)
        excess = (length_at_0 - self.epsilon).clamp_min_(0)
        before = (lost < excess).sum(dim=1, keepdim=True).sub_(1).clamp_min_(0)  # the last kink before lambda
        rest = (excess - lost.gather(1, before)) / falling.gather(1, before).clamp_min_(1)
        scale = torch.where(excess > 0, kinks.gather(1, before) + rest, 0).to(far.dtype)
        shrunk = (far - scale).clamp_min_(0).minimum(end).mul_(delta.sign())
        return shrunk.view(self.x.shape).add_(self.x).clamp_(0, 1)

    def random(self, generator: Generators) -> Tensor:
        """Return x + epsilon s e / (e_0 + sum e), s signs, e exponential: the spacings of uniform numbers, signed."""
        u = draw(torch.rand, self.x, generator).mul_(2).sub_(1)
        corner = self.x[(slice(None), *[slice(1)] * (self.x.ndim - 1))]  # (N, 1, ...)
        # 1 - u is in (0, 1], and never 0.
        e_0 = -(1 - draw(torch.rand, corner, generator)).log_()
        e = -u.abs().clamp_min_(2**-24).log_()
        scale = self.epsilon / (e_0.flatten(1) + e.flatten(1).sum(dim=1, keepdim=True))  # (N, 1)
        return e.mul_(scale.view(corner.shape)).mul_(u.sign()).add_(self.x).clamp_(0, 1)


@dataclass(frozen=True, eq=False)
class L0(Round):
    """S(x) = { x' : at most epsilon of the x'_i are not x_i }: few pixels may change, and as they like.

    Each channel of a pixel counts by itself, and a change of at most `TOLERANCE` is none. epsilon is rounded down.
    """

    def around(self, x: Tensor) -> Region:
        """Return the points with few changes."""
        return _Few(self.radius(x.flatten(1)), x)

    def steepest(self, gradient: Tensor, at: Tensor | None = None) -> Tensor:
        """Return the sign of the largest gradient alone: one pixel that moves by its whole range.

        `at`: pixels that are at the end of the box already, and would have to go beyond, are left out.
        """
        g = gradient.flatten(1)
        if at is not None:
            g = torch.where(room(at.flatten(1), g) > 0, g, 0)
        largest = g.abs().argmax(dim=1, keepdim=True)
        return torch.zeros_like(g).scatter_(1, largest, g.gather(1, largest).sign()).view(gradient.shape)

    def shortest(self, x: Tensor, slope: Tensor, gain: Tensor) -> Tensor:
        """Move the pixels that gain most to the end of the box, one after the other."""
        return _one_by_one(x, slope, gain, lambda w, end: w.abs() * end)

    def distance(self, point: Tensor, x: Tensor) -> Tensor:
        """Return the number of pixels that differ by more than `TOLERANCE`."""
        return ((point - x).abs_().flatten(1) > TOLERANCE).sum(dim=1).float()


@dataclass(frozen=True, eq=False)
class _Few:
    """The points of the box that differ from x in at most epsilon pixels."""

    epsilon: Radius  # a number, or (N, 1)
    x: Tensor

    def project(self, point: Tensor) -> Tensor:
        """Keep the epsilon pixels, clipped to the box, that bring x nearest to `point`; the first of equals."""
        x, p = self.x.flatten(1), point.flatten(1)
        clipped = p.clamp(0, 1)
        nearer = (p - x).square_() - (p - clipped).square_()
        return torch.where(self._first(nearer), clipped, x).view(self.x.shape)

    def random(self, generator: Generators) -> Tensor:
        """Return x with epsilon pixels, any that are drawn, at any values."""
        order = draw(torch.rand, self.x, generator).flatten(1)
        values = draw(torch.rand, self.x, generator).flatten(1)
        return torch.where(self._first(order), values, self.x.flatten(1)).view(self.x.shape)

    def _first(self, worth: Tensor) -> Tensor:
        """Return where the epsilon largest are, (N, D) bool."""
        D = worth.shape[1]
        allowed = torch.arange(D, device=worth.device) < torch.as_tensor(self.epsilon, device=worth.device).floor()
        order = worth.argsort(dim=1, descending=True, stable=True)
        return torch.zeros_like(worth, dtype=torch.bool).scatter_(1, order, allowed.expand(worth.shape))


def _one_by_one(x: Tensor, slope: Tensor, gain: Tensor, worth: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Move the pixels of the highest `worth(w, room)` to the end of the box until the gain is reached.

    The last one goes only as far as it must; arguments and result as in `Ball.shortest`.
    """
    sign = torch.where(gain < 0, -1.0, 1.0).unsqueeze(1)
    w, wanted = slope.flatten(1) * sign, gain.abs().unsqueeze(1)
    end = room(x.flatten(1), w)
    order = worth(w, end).argsort(dim=1, descending=True, stable=True)
    gains = (w.abs() * end).gather(1, order)
    before = gains.cumsum(dim=1, dtype=torch.float64) - gains
    part = ((wanted - before) / gains.clamp_min(torch.finfo(gains.dtype).tiny)).clamp_(0, 1).to(w.dtype)
    share = torch.zeros_like(w).scatter_(1, order, part)
    return share.mul_(end).mul_(w.sign()).view(x.shape)
