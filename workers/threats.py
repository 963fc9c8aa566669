"""How far an attack may go.

A ball knows its `steepest` step and its `distance`; `around(x)` centres it, and then it can `project` and start at
`random`. Every set S(x) below is cut with the box [0, 1]^D of valid pixels; `project` gives the nearest point of both,
not of one and then the other. Arithmetic is float32, so a result may be outside by rounding: at most `TOLERANCE`.

Legend: x (N, ...) clean inputs in [0, 1], point (N, ...) anything; D values per sample; norms run over all but N.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

# One stream of random numbers for a batch (training), or one per sample (attacks, whose results must not depend on how
# samples are batched).
Generators = torch.Generator | Sequence[torch.Generator]

# The slack of every check `distance <= epsilon` (times epsilon where that is above 1) and `0 <= pixel <= 1`.
TOLERANCE: Final = 1e-6

# Rounds of the search for L2's scale. Each one is exact for the pixels that were clipped in the round before.
_ROUNDS: Final = 4

# Below every length that matters, above 0: keeps 0 / 0 out of epsilon = 0.
_TINY: Final = 1e-30


class Region(Protocol):
    """S(x) and the box, for one batch of x."""

    def project(self, point: Tensor) -> Tensor:
        """Return the point of the region that is nearest to `point`, as a new tensor."""

    def random(self, generator: Generators) -> Tensor:
        """Return a point drawn uniformly from S(x), then clipped to the box."""


class Ball(Protocol):
    """The perturbations that an attack may use."""

    @property
    def epsilon(self) -> float:
        """Radius, in units of pixels in [0, 1]."""

    def around(self, x: Tensor) -> Region:
        """Return the valid points of the ball around each sample."""

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the unit step that climbs a linear objective fastest; 0 where the gradient is 0."""

    def distance(self, point: Tensor, x: Tensor) -> Tensor:
        """Return the norm of point - x per sample, (N,) float32."""


@dataclass(frozen=True)
class Linf:
    """S(x) = { x' : max_i |x'_i - x_i| <= epsilon }: every pixel may change a little."""

    epsilon: float

    def around(self, x: Tensor) -> Region:
        """Return the interval of each pixel."""
        return _Intervals(self.epsilon, x, (x - self.epsilon).clamp_(min=0), (x + self.epsilon).clamp_(max=1))

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return sign(gradient), with sign(0) = 0."""
        return gradient.sign()

    def distance(self, point: Tensor, x: Tensor) -> Tensor:
        """Return max_i |point_i - x_i|."""
        return (point - x).abs_().flatten(1).amax(dim=1)


@dataclass(frozen=True, eq=False)
class _Intervals:
    """[max(x_i - epsilon, 0), min(x_i + epsilon, 1)] for every pixel i."""

    epsilon: float
    x: Tensor
    low: Tensor
    high: Tensor

    def project(self, point: Tensor) -> Tensor:
        """Return clip(point, low, high): pixels are independent, so each has its own nearest value."""
        return point.clamp(self.low, self.high)

    def random(self, generator: Generators) -> Tensor:
        """Return x + U(-epsilon, epsilon), clipped (arXiv:1706.06083, section 4)."""
        noise = _draw(torch.rand, self.x, generator)
        return noise.mul_(2).sub_(1).mul_(self.epsilon).add_(self.x).clamp_(0, 1)


@dataclass(frozen=True)
class L2:
    """S(x) = { x' : sqrt(sum_i (x'_i - x_i)^2) <= epsilon }: the change has a bounded Euclidean length."""

    epsilon: float

    def around(self, x: Tensor) -> Region:
        """Return the part of the Euclidean ball that is in the box."""
        return _CutBall(self.epsilon, x, -x.flatten(1), 1 - x.flatten(1))

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return gradient / |gradient|, divided by its largest entry first: the square of 1e-30 is 0 in float32."""
        largest = _length(gradient, order=torch.inf)
        scaled = gradient / torch.where(largest > 0, largest, 1)
        return scaled.div_(torch.where(largest > 0, _length(scaled), 1))

    def distance(self, point: Tensor, x: Tensor) -> Tensor:
        """Return sqrt(sum_i (point_i - x_i)^2), summed in float64."""
        length: Tensor = torch.linalg.vector_norm((point - x).flatten(1), dim=1, dtype=torch.float64)
        return length.float()


@dataclass(frozen=True, eq=False)
class _CutBall:
    """The Euclidean ball around x, cut with the box: a change of pixel i is in [-x_i, 1 - x_i]."""

    epsilon: float
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
        v = _draw(torch.randn, self.x, generator)
        v.div_(_length(v))
        corner = self.x[(slice(None), *[slice(1)] * (self.x.ndim - 1))]  # (N, 1, ...)
        radius = _draw(torch.rand, corner, generator).pow_(1 / math.prod(self.x.shape[1:])).mul_(self.epsilon)
        return v.mul_(radius).add_(self.x).clamp_(0, 1)


# The balls by the name that stands in the contract (NORM_LINF, NORM_L2).
BALLS: Final[dict[str, type[Linf | L2]]] = {"linf": Linf, "l2": L2}


def _length(v: Tensor, *, order: float = 2) -> Tensor:
    """Return the norm of each sample, shaped (N, 1, ...) so that it broadcasts."""
    length: Tensor = torch.linalg.vector_norm(v, order, dim=tuple(range(1, v.ndim)), keepdim=True)
    return length


def _draw(sampler: Callable[..., Tensor], like: Tensor, generator: Generators) -> Tensor:
    """Return random numbers in the shape, device and memory layout of `like`."""
    noise = torch.empty_like(like)
    if isinstance(generator, torch.Generator):
        return noise.copy_(sampler(like.shape, generator=generator, device=generator.device))
    rows = [sampler(like.shape[1:], generator=own, device=own.device) for own in generator]
    return noise.copy_(torch.stack(rows)) if rows else noise
