"""What the points that a run asked about came to: for each sample, the best one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.entries import Keeps
from workers.goals import Aim
from workers.threats import TOLERANCE, Ball

# Scores are float64. Where the goal is reached: infinity ("first"), or minus the distance ("nearest"), never below
# `_REACHED`; elsewhere the objective, drawn into what is left below that.
_REACHED: Final = -1e8
_BELOW: Final = -2e8


@dataclass(frozen=True, kw_only=True)
class Standard:
    """By what the points of N samples are judged."""

    aim: Aim
    ball: Ball
    x: Tensor  # (N, ...) the clean inputs
    keeps: Keeps
    # Points may lie outside the ball or the box, and then count for nothing.
    strays: bool = False

    def select(self, rows: Tensor) -> Standard:
        """Return the standard of some samples only."""
        return Standard(
            aim=self.aim.select(rows),
            ball=self.ball.select(rows),
            x=self.x[rows],
            keeps=self.keeps,
            strays=self.strays,
        )

    def score(self, points: Tensor, logits: Tensor) -> Tensor:
        """Return what each point is worth, (N,) float64: the more the better, minus infinity for nothing."""
        objective = self.aim.objective(logits).double()
        reached = self.aim.reached(logits)
        if self.keeps == "first":
            score = objective.masked_fill(reached, torch.inf)
        else:
            distance = self.ball.distance(points, self.x).double()
            score = torch.where(reached, -distance, objective.clamp(_BELOW / 4, -_BELOW / 4) + _BELOW)
        if self.strays:
            score = score.masked_fill(~self._inside(points), -torch.inf)
        # Of an objective that is NaN nothing can be said, and max would choose it.
        return score.nan_to_num_(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def turned(self, score: Tensor) -> Tensor:
        """Return where a score says that the goal is reached."""
        return score == torch.inf if self.keeps == "first" else score > _REACHED

    def _inside(self, points: Tensor) -> Tensor:
        low, high = points.flatten(1).aminmax(dim=1)
        box = (low >= -TOLERANCE) & (high <= 1 + TOLERANCE)
        # The nearest point is looked for wherever it is; how far is allowed is decided at the end.
        return (
            box
            if self.keeps == "nearest"
            else box & (self.ball.distance(points, self.x) <= self.ball.epsilon + TOLERANCE)
        )


class Books:
    """The best point so far of each of N samples; points are entered in the order in which they were asked about."""

    def __init__(self, standard: Standard) -> None:
        x = standard.x
        self.standard = standard
        self.points = x.clone()
        self.score = torch.full((len(x),), -torch.inf, dtype=torch.float64, device=x.device)

    @property
    def turned(self) -> Tensor:
        """Where the goal is reached, (N,) bool."""
        return self.standard.turned(self.score)

    def enter(self, points: Tensor, logits: Tensor, rows: Tensor | None) -> None:
        """Look at R points of the samples `rows` (R,), each as often as it is named; None: one of each sample."""
        standard = self.standard if rows is None else self.standard.select(rows)
        score = standard.score(points, logits)
        if rows is None:
            better = (score > self.score).nonzero().squeeze(1)
            self._keep(better, points[better], score[better])
            return
        best = torch.full_like(self.score, -torch.inf).scatter_reduce_(0, rows, score, "amax")
        order = torch.arange(len(rows), device=rows.device)
        candidate = (score == best[rows]) & (score > self.score[rows])
        first = torch.full_like(self.score, len(rows), dtype=torch.int64)
        first.scatter_reduce_(0, rows, order.masked_fill(~candidate, len(rows)), "amin")
        better = (first < len(rows)).nonzero().squeeze(1)
        chosen = first[better]
        self._keep(better, points[chosen], score[chosen])

    def strike(self, rows: Tensor) -> None:
        """Forget that these samples had reached the goal."""
        self.score[rows] = -torch.inf

    def _keep(self, rows: Tensor, points: Tensor, score: Tensor) -> None:
        self.points.index_copy_(0, rows, points)
        self.score.index_copy_(0, rows, score)
