"""What the attacks that only ask have in common: a budget, random points in bounded portions, and places to start.

Legend: x (N, ...) clean inputs in [0, 1] of D values each, rows (R,) int64 samples of them, points (R, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import Ball, Generators, Linf, draw

# Random values that are drawn at once for one sample. What a sample draws must not depend on the others in its batch.
_VALUES: Final = 2**18

# Starting points that are tried at most.
TRIES: Final = 60
# Kinds of noise: its exponent, above 1 for a dark one, and how many patches it has along an axis, 0 for all of them.
_SHADES: Final = ((1.0, 0), (3.0, 0), (3.0, 7), (9.0, 7), (9.0, 4), (3.0, 4), (0.33, 0))
# How much of the clean input it replaces.
_SHARES: Final = (0.3, 0.5, 0.7, 0.85, 1.0)

# Halvings of the way to the clean input; float32 knows no more.
_FINEST: Final = 23


class Purse:
    """The labels of a model, as long as the queries of each sample last."""

    def __init__(self, model: Model, goal: Goal, x: Tensor, queries: int) -> None:
        self.left = torch.full((len(x),), queries, dtype=torch.int64, device=x.device)  # (N,)
        self._model, self._goal = model, goal

    def able(self, rows: Tensor, cost: int = 1) -> Tensor:
        """Return those of the rows that can still pay so many queries."""
        return rows[self.left[rows] >= cost]

    def decide(self, points: Tensor, rows: Tensor, *, candidates: bool = True) -> Tensor:
        """Return where the points (R, ...) of the samples `rows`, which may repeat, reach the goal, (R,) bool."""
        self.left.index_add_(0, rows, torch.full_like(rows, -1))
        return self._goal.decide(self._model, points, rows, candidates=candidates)


def log_odds(goal: Goal, logits: Tensor, rows: Tensor) -> Tensor:
    """Return how far these logits (R, K) of the samples `rows` are on the way to the goal, (R,) float64.

        log((1 - p_y) / p_y) = log sum_{k != y} exp(z_k) - z_y   (target t: minus that of t)

    It rises and falls with the cross-entropy, and along the same gradient, but says something also where a label is so
    certain that its cross-entropy is 0 in floating point.
    """
    label = (goal.label if goal.towards is None else goal.towards)[rows].unsqueeze(1)
    z = logits.double()
    odds = z.scatter(1, label, -torch.inf).logsumexp(dim=1) - z.gather(1, label).squeeze(1)
    return odds if goal.towards is None else -odds


def of(generator: Generators, rows: Tensor) -> Generators:
    """Return the streams of some samples only."""
    return generator if isinstance(generator, torch.Generator) else [generator[row] for row in rows.tolist()]


def portions(x: Tensor, count: int) -> Iterator[int]:
    """Yield how many points of each sample to draw at once until there are `count`, by the size of a sample alone."""
    portion = max(1, _VALUES // max(1, x[0].numel()))
    for begin in range(0, count, portion):
        yield min(portion, count - begin)


def draw_points(sampler: Callable[..., Tensor], x: Tensor, count: int, generator: Generators) -> Tensor:
    """Return `count` random points of each sample, (N, count, ...)."""
    return draw(sampler, x.new_empty((len(x), count, *x.shape[1:])), generator)


def start(purse: Purse, x: Tensor, rows: Tensor, generator: Generators, *, targeted: bool) -> tuple[Tensor, Tensor]:
    """Look for a point of each sample that reaches the goal: noise, of several kinds, over more or less of the picture.

        x + share (u^exponent - x),   u ~ U(0, 1), independent for each value, or for each patch of the last two axes

    Noise of one kind is taken for the same few classes, whatever is drawn; so the kind changes from try to try. Without
    a target shares rise from 0.3 to 1 before the kind changes: what is found so lies nearer. With one they are all 1.
    Returns the points (N, ...), x where nothing was found, and the rows that have one. The others have then spent
    `TRIES` queries, or all they had.
    """
    points, missing = x.clone(), rows
    shares = (1.0,) if targeted else _SHARES
    for j in range(TRIES):
        missing = purse.able(missing)
        if len(missing) == 0:
            break
        exponent, patches = _SHADES[j // len(shares) % len(_SHADES)]
        u = _patchy(draw(torch.rand, x[missing], of(generator, missing)), patches).pow(exponent)
        tried = torch.lerp(x[missing], u, shares[j % len(shares)])
        hit = purse.decide(tried, missing)
        points[missing[hit]] = tried[hit]
        missing = missing[~hit]
    return points, rows[~torch.isin(rows, missing)]


def _patchy(u: Tensor, patches: int) -> Tensor:
    """Return u (R, ...) with the last two axes, or the only one, in so many patches of one value each; 0: as it is."""
    if patches:
        for axis in range(max(1, u.ndim - 2), u.ndim):
            side = u.shape[axis]
            u = u.index_select(axis, torch.arange(side, device=u.device) * min(patches, side) // side)
    return u


def towards(points: Tensor, x: Tensor, share: Tensor, ball: Ball) -> Tensor:
    """Return the points (R, ...) that have kept the share (R,) of their distance to x: both alike in the ball's norm.

    In L2 on the straight way to x; in L-infinity clip(point, x - r, x + r), r = share |point - x|_inf: what is
    further away than that comes nearer, all else stays.
    """
    share = share.view(-1, *[1] * (x.ndim - 1))
    if isinstance(ball, Linf):
        radius = share * ball.distance(points, x).view_as(share)
        return points.clamp(x - radius, x + radius)
    return torch.lerp(x, points, share)


def to_boundary(purse: Purse, points: Tensor, x: Tensor, rows: Tensor, ball: Ball, *, rounds: int) -> Tensor:
    """Return the points (N, ...), those of `rows`, which reach the goal, drawn to the boundary by bisection.

    What is returned reaches the goal, and a point nearer by 2^-rounds of the distance doesn't, if the queries last.
    """
    points, far = points.clone(), points
    low = torch.zeros(len(x), device=x.device, dtype=x.dtype)
    high = torch.ones_like(low)
    for _ in range(min(rounds, _FINEST)):
        rows = purse.able(rows)
        if len(rows) == 0:
            break
        middle = (low[rows] + high[rows]) / 2
        asked = towards(far[rows], x[rows], middle, ball)
        hit = purse.decide(asked, rows)
        high[rows], low[rows] = torch.where(hit, middle, high[rows]), torch.where(hit, low[rows], middle)
        points[rows[hit]] = asked[hit]
    return points
