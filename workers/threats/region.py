"""What every ball can do, and what the balls have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, Self

import torch
from torch import Tensor

# One stream of random numbers for a batch (training), or one per sample (attacks, whose results must not depend on how
# samples are batched).
Generators = torch.Generator | Sequence[torch.Generator]


class PartStream(torch.Generator):
    """A stream for whole batches, of which only some rows are here; whoever has the others draws the same for them.

    `parts` gives, by the number of rows that are here, the first of them and the rows of the whole batch.
    """

    parts: Mapping[int, tuple[int, int]]


# The slack of every check `distance <= epsilon` (times epsilon where that is above 1) and `0 <= pixel <= 1`. A pixel
# that changes by no more has not changed: that is how L0 counts.
TOLERANCE: Final = 1e-6

# One radius for all samples, or one each, (N,).
Radius = float | Tensor

# Rounds of Newton's search for the scale of a step. Each one is exact for the pixels that met the box in those before.
_ROUNDS: Final = 5


class Region(Protocol):
    """S(x) and the box, for one batch of x."""

    def project(self, point: Tensor) -> Tensor:
        """Return the point of the region that is nearest to `point`, as a new tensor."""

    def random(self, generator: Generators) -> Tensor:
        """Return a point drawn uniformly from S(x), then clipped to the box."""


class Ball(Protocol):
    """The perturbations that an attack may use."""

    @property
    def epsilon(self) -> Radius:
        """Radius, in units of pixels in [0, 1]."""

    def select(self, rows: Tensor) -> Self:
        """Return the balls of some of the samples only, in the order of `rows`."""

    def of_radius(self, epsilon: Radius) -> Self:
        """Return balls of the same norm and another radius."""

    def radius(self, x: Tensor) -> Radius:
        """Return epsilon so that it broadcasts over `x`: a number, or (N, 1, ...)."""

    def around(self, x: Tensor) -> Region:
        """Return the valid points of the ball around each sample."""

    def steepest(self, gradient: Tensor, at: Tensor | None = None) -> Tensor:
        """Return the unit step that climbs a linear objective fastest; 0 where the gradient is 0.

        `at`: the point (N, ...) that is stepped from, for norms whose step would be lost on pixels that can't move.
        """

    def shortest(self, x: Tensor, slope: Tensor, gain: Tensor) -> Tensor:
        """Return the shortest change of `x` that stays in the box and raises a linear objective by `gain` (N,).

        min |d|   subject to   slope.d = gain,   0 <= x + d <= 1

        `x`, `slope` and the result are (N, ...); a negative gain goes down. Where the box is too narrow, it is the
        change that comes nearest to the gain. The radius plays no part.
        """

    def distance(self, point: Tensor, x: Tensor) -> Tensor:
        """Return the norm of point - x per sample, (N,) float32."""


@dataclass(frozen=True, eq=False)
class Round:
    """What balls of every norm have in common."""

    epsilon: Radius

    def select(self, rows: Tensor) -> Self:
        """Return the balls of some of the samples only."""
        return replace(self, epsilon=self.epsilon[rows]) if isinstance(self.epsilon, Tensor) else self

    def of_radius(self, epsilon: Radius) -> Self:
        """Return balls of the same norm and another radius."""
        return replace(self, epsilon=epsilon)

    def radius(self, x: Tensor) -> Radius:
        """Return epsilon so that it broadcasts over `x`."""
        return self.epsilon.view(-1, *[1] * (x.ndim - 1)) if isinstance(self.epsilon, Tensor) else self.epsilon


def length(v: Tensor, *, order: float = 2) -> Tensor:
    """Return the norm of each sample, shaped (N, 1, ...) so that it broadcasts."""
    found: Tensor = torch.linalg.vector_norm(v, order, dim=tuple(range(1, v.ndim)), keepdim=True)
    return found


def draw(sampler: Callable[..., Tensor], like: Tensor, generator: Generators) -> Tensor:
    """Return random numbers in the shape, device and memory layout of `like`."""
    noise = torch.empty_like(like)
    if isinstance(generator, PartStream) and len(like) in generator.parts:
        first, count = generator.parts[len(like)]
        whole = sampler((count, *like.shape[1:]), generator=generator, device=generator.device)
        return noise.copy_(whole[first : first + len(like)])
    if isinstance(generator, torch.Generator):
        return noise.copy_(sampler(like.shape, generator=generator, device=generator.device))
    rows = [sampler(like.shape[1:], generator=own, device=own.device) for own in generator]
    return noise.copy_(torch.stack(rows)) if rows else noise


def room(x: Tensor, direction: Tensor) -> Tensor:
    """Return how far each pixel can move in its direction, >= 0; 0 where the direction is 0."""
    return torch.where(direction > 0, 1 - x, x).mul_(direction != 0)


def shortest_along(x: Tensor, slope: Tensor, step: Tensor, gain: Tensor) -> Tensor:
    """Return clip(lambda step, -x, 1 - x) with the least lambda >= 0 that gains as much; arguments as in `shortest`.

    `step` is the steepest step up the slope. The gain is a concave piecewise linear function of lambda, with a kink
    where a pixel meets the box, so Newton's method climbs to lambda from below and is exact once no pixel meets the box
    any more. After its 5 rounds less than 1 % of the gain is missing where that is at most nine tenths of what the box
    allows, although every pixel has a kink of its own (test_threats.py). Sorting the kinks would take ten times longer.
    """
    sign = torch.where(gain < 0, -1.0, 1.0).unsqueeze(1)
    w, v = slope.flatten(1) * sign, step.flatten(1) * sign  # (N, D)
    low, high, wanted = -x.flatten(1), 1 - x.flatten(1), gain.abs()
    product, scale = w * v, torch.zeros_like(wanted)
    free, moved = torch.ones_like(v), torch.zeros_like(v)
    for _ in range(_ROUNDS):
        steepness, gained = torch.linalg.vecdot(product, free), torch.linalg.vecdot(w, moved)
        # Where no pixel is free any more, the box is too narrow.
        scale = scale + torch.where(steepness > 0, (wanted - gained).clamp_min(0) / steepness, 0)
        unclipped = v * scale.unsqueeze(1)
        torch.clamp(unclipped, low, high, out=moved)
        torch.eq(moved, unclipped, out=free)  # 1.0 or 0.0
    return moved.view(x.shape)
