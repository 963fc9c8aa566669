"""What the attacks share that weigh a loss against a distance: the search for the weight, and the nearest point.

Legend: N samples, x (N, ...); `rows` (R,) int64 names some of the samples, each once.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.losses import margin

# By what the weight grows as long as it was never enough.
_GROWTH: Final = 10

# Queries for the shortest part of the way that still reaches the goal, and how far beyond the estimate each one is put,
# as a part of what is left.
_ROUNDS: Final = 4
_NUDGE: Final = 0.05


class WeightSearch:
    """Bisection, sample by sample, for the smallest weight c of the loss with which the goal is reached.

        reached:   upper = min(upper, c)       c = (lower + upper) / 2 where there is an upper bound,
        missed:    lower = max(lower, c)       c = 10 c                 elsewhere

    Source: arXiv:1608.04644, section 5, and the authors' code for the growth.
    """

    def __init__(self, initial: float, x: Tensor) -> None:
        self.c = torch.full((len(x),), initial, dtype=x.dtype, device=x.device)  # (N,)
        self._lower = torch.zeros_like(self.c)
        self._upper = torch.full_like(self.c, torch.inf)

    def narrow(self, reached: Tensor) -> None:
        """Say where c was enough, (N,) bool, and choose the next."""
        self._upper = torch.where(reached, torch.minimum(self._upper, self.c), self._upper)
        self._lower = torch.where(reached, self._lower, torch.maximum(self._lower, self.c))
        bounded = self._upper < torch.inf
        self.c = torch.where(bounded, (self._lower + self._upper) / 2, _GROWTH * self.c)


class Nearest:
    """Of each sample the point with the smallest measure that reached the goal; until there is one, the last point.

    For attacks that go on from it, or whose rule is not the engine's, which keeps what reaches the goal at the smallest
    distance.
    """

    def __init__(self, x: Tensor) -> None:
        self.points = x.clone()  # (N, ...)
        self.measure = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)  # (N,)
        self.lead = torch.full_like(self.measure, -torch.inf)  # (N,) of the goal's class, at the point

    def enter(self, rows: Tensor, points: Tensor, measure: Tensor, reached: Tensor, lead: Tensor) -> None:
        """Look at one point of each of the samples `rows`; `measure`, `reached` and `lead` (R,)."""
        known = self.measure[rows]
        measure = measure.masked_fill(~reached, torch.inf)
        better = (measure < known) | (known == torch.inf)
        kept = torch.where(over(better, points), points, self.points[rows])
        self.points = self.points.index_copy(0, rows, kept)
        self.measure = self.measure.index_copy(0, rows, torch.minimum(measure, known))
        self.lead = self.lead.index_copy(0, rows, torch.where(better, lead, self.lead[rows]))


def drawn_back(model: Model, x: Tensor, goal: Goal, points: Tensor, *, before: Tensor, behind: Tensor) -> Tensor:
    """Draw points that reached the goal back along the straight way to x, as far as they still do, by false position.

    `before` and `behind` (N,) are the lead (`lead`) at x and at the points (N, ...), which reached the goal where it is
    above 0. Costs `_ROUNDS` forwards for each of them. Returns (N, ...); what did not reach the goal is left alone.
    """
    rows = (behind > 0).nonzero().squeeze(1)
    if len(rows) == 0:
        return points
    x, way = x[rows], points[rows] - x[rows]
    before, behind = before[rows], behind[rows]
    low, high = torch.zeros_like(before), torch.ones_like(before)
    for _ in range(_ROUNDS):
        part = low + (high - low) * before / (before - behind)
        part = part + _NUDGE * (high - part)
        logits = goal.logits(model, torch.addcmul(x, over(part, x), way), rows)
        ahead, hit = lead(goal, logits, rows), goal.hit(logits, rows)
        low, before = torch.where(hit, low, part), torch.where(hit, before, ahead)
        # Half of what is known of the far end, as in the Illinois rule, or the near end alone would move.
        high, behind = torch.where(hit, part, high), torch.where(hit, ahead, behind / 2)
    return points.index_copy(0, rows, torch.addcmul(x, over(high, x), way))


def lead(goal: Goal, logits: Tensor, rows: Tensor) -> Tensor:
    """Return by how much the goal's class leads the label, or without a target any class does, (R,)."""
    ahead = margin(logits, goal.label[rows])
    return -ahead if goal.targeted else ahead


def over(values: Tensor, like: Tensor) -> Tensor:
    """Shape (N,) so that it broadcasts over (N, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
