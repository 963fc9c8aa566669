"""The balls in which every pixel may change: the largest change is bounded, or the Euclidean length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.threats.region import Generators, Radius, Region, Round, draw, length, shortest_along

# Rounds of the search for L2's scale. Each one is exact for the pixels that were clipped in the round before.
_ROUNDS: Final = 4

# Below every length that matters, above 0: keeps 0 / 0 out of epsilon = 0.
_TINY: Final = 1e-30


@dataclass(frozen=True, eq=False)
class Linf(Round):
    """S(x) = { x' : max_i |x'_i - x_i| <= epsilon }: every pixel may change a little."""

    def around(self, x: Tensor) -> Region:
        """Return the interval of each pixel."""
        radius = self.radius(x)
        return _Intervals(radius, x, (x - radius).clamp_(min=0), (x + radius).clamp_(max=1))

    def steepest(self, gradient: Tensor, at: Tensor | None = None) -> Tensor:  # noqa: ARG002 clipping loses nothing here
        """Return sign(gradient), with sign(0) = 0."""
        return gradient.sign()

    def shortest(self, x: Tensor, slope: Tensor, gain: Tensor) -> Tensor:
        """Move all pixels by the same amount, but for those that meet the box (arXiv:1907.02044, section 2.2)."""
        return shortest_along(x, slope, slope.sign(), gain)

    def distance(self, point: Tensor, x: Tensor) -> Tensor:
        """Return max_i |point_i - x_i|."""
        return (point - x).abs_().flatten(1).amax(dim=1)


@dataclass(frozen=True, eq=False)
class _Intervals:
    """[max(x_i - epsilon, 0), min(x_i + epsilon, 1)] for every pixel i."""

    epsilon: Radius
    x: Tensor
    low: Tensor
    high: Tensor

    def project(self, point: Tensor) -> Tensor:
        """Return clip(point, low, high): pixels are independent, so each has its own nearest value."""
        return point.clamp(self.low, self.high)

    def random(self, generator: Generators) -> Tensor:
        """Return x + U(-epsilon, epsilon), clipped (arXiv:1706.06083, section 4)."""
        noise = draw(torch.rand, self.x, generator)
        return noise.mul_(2).sub_(1).mul_(self.epsilon).add_(self.x).clamp_(0, 1)


@dataclass(frozen=True, eq=False)
class L2(Round):
    """S(x) = { x' : sqrt(sum_i (x'_i - x_i)^2) <= epsilon }: the change has a bounded Euclidean length."""

    def around(self, x: Tensor) -> Region:
        """Return the part of the Euclidean ball that is in the box."""
        return _CutBall(self.radius(x.flatten(1)), x, -x.flatten(1), 1 - x.flatten(1))

    def steepest(self, gradient: Tensor, at: Tensor | None = None) -> Tensor:  # noqa: ARG002 the projection rescales
        """Return gradient / |gradient|, divided by its largest entry first: the square of 1e-30 is 0 in float32."""
        largest = length(gradient, order=torch.inf)
        scaled = gradient / torch.where(largest > 0, largest, 1)
        return scaled.div_(torch.where(largest > 0, length(scaled), 1))

    def shortest(self, x: Tensor, slope: Tensor, gain: Tensor) -> Tensor:
        """Move along the slope, but for the pixels that meet the box (arXiv:1907.02044, section 2.2)."""
        return shortest_along(x, slope, self.steepest(slope), gain)

    def distance(self, point: Tensor, x: Tensor) -> Tensor:
        """Return sqrt(sum_i (point_i - x_i)^2), summed in float64."""
        length: Tensor = torch.linalg.vector_norm((point - x).flatten(1), dim=1, dtype=torch.float64)
        return length.float()


@dataclass(frozen=True, eq=False)
class _CutBall:
    """The Euclidean ball around x, cut with the box: a change of pixel i is in [-x_i, 1 - x_i]."""

    epsilon: Radius  # a number, or (N, 1)
    x: Tensor
    low: Tensor  # (N, D)
    high: Tensor  # (N, D)

    def project(self, point: Tensor) -> Tensor:
        """Return x + clip(s delta, -x, 1 - x), delta = point - x, with the largest s <= 1 of length at most epsilon.

        That is the nearest point of ball and box together (the KKT conditions of the projection); clipping after
        scaling, as is usual, throws away the length that the box cuts off. s is found from below: with C the pixels
        clipped so far, s^2 = (epsilon^2 - |clipped_C|^2) / |delta_rest|^2, so every round stays inside the ball.
        """
        delta = (point - self.x).flatten(1)  # (N, D)
        edge = delta.sign().clamp_(self.low, self.high)  # where the box ends in delta's direction; 0 for delta 0
        clipped_from = edge / delta  # the scale from which on a pixel is clipped; NaN where it can't or won't move
        delta2, edge2, free = delta.square(), edge.square_(), torch.empty_like(delta)
        scale = (self.epsilon / delta2.sum(dim=1, keepdim=True).sqrt_().clamp_min_(_TINY)).clamp_max_(1)  # (N, 1)
        for _ in range(_ROUNDS):
            torch.ge(clipped_from, scale, out=free)  # 1.0 or 0.0: products are ten times faster than masks here
            rest = (delta2 * free).sum(dim=1, keepdim=True)
            room = self.epsilon**2 - (edge2 * (1 - free)).sum(dim=1, keepdim=True)
            scale = torch.where(rest > 0, (room.clamp_min_(0) / rest).sqrt_().clamp_max_(1), scale)
        return torch.clamp(delta.mul_(scale), self.low, self.high).view(self.x.shape).add_(self.x).clamp_(0, 1)

    def random(self, generator: Generators) -> Tensor:
        """Return x + epsilon r v, v uniform on the sphere and r = U(0, 1)^(1/D), which is uniform in the ball."""
        v = draw(torch.randn, self.x, generator)
        v.div_(length(v))
        corner = self.x[(slice(None), *[slice(1)] * (self.x.ndim - 1))]  # (N, 1, ...)
        radius = draw(torch.rand, corner, generator).pow_(1 / math.prod(self.x.shape[1:]))
        radius.flatten(1).mul_(self.epsilon)
        return v.mul_(radius).add_(self.x).clamp_(0, 1)
