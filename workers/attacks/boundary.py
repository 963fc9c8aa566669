"""The boundary attack."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.probing import Purse, draw_points, of, portions, start, to_boundary
from workers.threats import Ball, Generators

# Halvings of the way from the starting point.
_ROUNDS: Final = 10
# Steps after which the lengths are adapted.
_WINDOW: Final = 20
# Shares of steps along the sphere that reach the goal, and of those the steps towards x: below the first both are too
# long, above the second too short.
_SPHERICAL: Final = (0.2, 0.5)
_SOURCE: Final = (0.1, 0.25)
# A share of the distance, by which it is no use to come nearer; the walk of a sample has then ended.
_CONVERGED: Final = 1e-7


def boundary(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    queries: int,
    spherical_step: float,
    source_step: float,
    step_adaptation: float,
    generator: Generators,
) -> Tensor:
    """A random walk along the boundary, from a point that reaches the goal to ever nearer ones, by labels alone.

        d = |x_n - x|_2,   u ~ N(0, I) without its part along x_n - x
        o = x + d (x_n + spherical_step d u / |u| - x) / |...|      on the sphere around x
        c = x + (1 - source_step) (o - x)                           nearer to x
        x_{n+1} = c if o and c reach the goal, else x_n

    Both lengths are a sample's own. After 20 steps each, of which more than 50 % (less than 20 %) of the o have reached
    the goal, both are multiplied by (divided by) `step_adaptation`, unless the first would exceed 1; the second also
    where of the c more than 25 % (less than 10 %) have. A walk ends with its queries, or with source_step below 1e-7.

    `x` (N, ...) in [0, 1]; `queries` >= 1 bounds the forwards of a sample; `spherical_step` and `source_step`, the
    first lengths, in (0, 1], in shares of the distance; `step_adaptation` > 1. Returns the last points, detached. It
    starts from noise (`workers.probing.start`), at the boundary between it and x. Where no noise reaches the goal, as
    is common for a target, the sample is given up after 60 queries, and x is returned for it.

    Source: arXiv:1712.04248, algorithm 1 and figure 2.
    Differs from the paper in: it starts at the boundary and not in the noise; c has its distance exactly, though the
    box clips o. The paper gives the aims of the adaptation (about 50 % of the o) and no rule.
    Measured (benchmarks/queries.py; 50 digits, median distance): 3.21 after 1,059 queries, 1.61 after 5,019.
    """
    purse, rows = Purse(model, goal, x, queries), goal.alive
    points, rows = start(purse, x, rows, generator, targeted=goal.targeted)
    xₙ = to_boundary(purse, points, x, rows, ball, rounds=_ROUNDS)
    steps = _Steps(x, spherical_step, source_step, step_adaptation)
    while len(rows := rows[steps.source[rows] > _CONVERGED]) > 0:
        for count in portions(x, _WINDOW):
            drawn = rows
            u = draw_points(torch.randn, x[drawn], count, of(generator, drawn))
            for k in range(count):
                rows = purse.able(rows, 2)
                if len(rows) == 0:
                    return xₙ
                o, c = _proposed(xₙ[rows], x[rows], u[torch.searchsorted(drawn, rows), k], steps, rows)
                on = purse.decide(o, rows)
                steps.count(on, rows)
                rows_on, c = rows[on], c[on]
                if len(rows_on) > 0:
                    nearer = purse.decide(c, rows_on)
                    steps.count_nearer(nearer, rows_on)
                    xₙ[rows_on[nearer]] = c[nearer]
        steps.adapt()
    return xₙ


def _proposed(xₙ: Tensor, x: Tensor, u: Tensor, steps: _Steps, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points on the sphere and the nearer ones of R samples, each (R, ...)."""
    away, u = (xₙ - x).flatten(1), u.flatten(1)
    d = away.norm(dim=1, keepdim=True)
    u = u - away * ((u * away).sum(dim=1, keepdim=True) / d.square().clamp_min(1e-30))
    o = away + u * (steps.spherical[rows].unsqueeze(1) * d / u.norm(dim=1, keepdim=True).clamp_min(1e-30))
    o = o * (d / o.norm(dim=1, keepdim=True).clamp_min(1e-30))
    o = (x + o.view(x.shape)).clamp_(0, 1)
    length = (o - x).flatten(1).norm(dim=1, keepdim=True)
    share = ((1 - steps.source[rows].unsqueeze(1)) * d / length.clamp_min(1e-30)).clamp_max_(1)
    return o, torch.lerp(x, o, share.view(-1, *[1] * (x.ndim - 1)))


class _Steps:
    """The two lengths of each sample, (N,), and how often they have led to the goal since they were last adapted."""

    def __init__(self, x: Tensor, spherical: float, source: float, factor: float) -> None:
        self.spherical = torch.full((len(x),), spherical, dtype=x.dtype, device=x.device)
        self.source = torch.full_like(self.spherical, source)
        self._factor = factor
        self._begin()

    def _begin(self) -> None:
        self._asked, self._on, self._nearer = (torch.zeros_like(self.source) for _ in range(3))

    def count(self, on: Tensor, rows: Tensor) -> None:
        """Note which steps along the sphere have reached the goal."""
        self._asked[rows] += 1
        self._on[rows] += on

    def count_nearer(self, nearer: Tensor, rows: Tensor) -> None:
        """Note which of the steps towards x have, of those after which it was asked."""
        self._nearer[rows] += nearer

    def adapt(self) -> None:
        """Lengthen and shorten, and begin to count anew."""
        along = _change(self._on, self._asked, _SPHERICAL)
        near = _change(self._nearer, self._on, _SOURCE)
        along[(along > 0) & (self.spherical * self._factor > 1)] = 0  # they can't grow any more: see to the other one
        self.spherical = self.spherical * self._factor**along
        self.source = (self.source * self._factor ** (along + near)).clamp_max_(0.5)
        self._begin()


def _change(reached: Tensor, asked: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return +1 where the share is above the bounds, -1 where it is below, else 0; 0 where nothing was asked."""
    low, high = bounds
    return (reached > high * asked).to(reached.dtype) - (reached < low * asked).to(reached.dtype)
