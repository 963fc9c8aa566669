"""Elastic-net attack."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.goals import Ascent, Goal, Model
from workers.losses import margin
from workers.threats import Ball
from workers.weighing import Nearest, WeightSearch, lead, over

# A round is looked at ten times; a sample whose mean loss since the last time has not fallen by a ten-thousandth is
# done. The loss of a single step would not do: with momentum it goes up and down.
_LOOKS: Final = 10
_FALLEN: Final = 0.9999

# A lead that the rounding of the logits can't undo, as a part of the largest.
_CERTAIN: Final = 1e-6


def ead(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,  # noqa: ARG001 the distance is the rule's, and how far is too far the engine decides
    *,
    search_steps: int,
    steps: int,
    learning_rate: float,
    confidence: float,
    initial_c: float,
    beta: float,
    rule: str,
) -> Tensor:
    """Shrinkage and thresholding, which leaves most pixels as they are, with a search for the weight of the loss.

        minimise    c f(x') + |x' - x|_2^2 + beta |x' - x|_1        over x' in the box
        x_{k+1}  =  S_beta(y_k - a_k grad g(y_k)),   g = c f + |. - x|_2^2,   a_k = learning_rate sqrt(1 - k / steps)
        y_{k+1}  =  x_{k+1} + k / (k + 3) (x_{k+1} - x_k)
        S_beta(z) = x where |z - x| <= beta, else min(z - beta, 1) above it and max(z + beta, 0) below it

    f is Carlini and Wagner's: max(z_y - max_{i != y} z_i, -`confidence`), or for a target t the same of
    max_{i != t} z_i - z_t. `search_steps` rounds of bisection for the smallest c that succeeds, each sample by itself,
    from `initial_c` > 0 on; each starts at x and takes at most `steps` steps. `x` (N, ...) in [0, 1]. Returns (N, ...),
    detached: of the points that reached the goal with the confidence the one with the smallest |.|_2^2 + beta |.|_1
    (`rule` "en") or |.|_1 ("l1"), else the last one that was looked at.

    Source: arXiv:1709.04114, section 3 and algorithm 1; the step's square root, and stopping a sample whose loss no
    longer falls, as in the authors' code.
    Differs from the paper in: x_k is shown to the model only where it may be the best so far (`_look`); once there is a
    best, a round in which y_k reached the goal counts as a success; stopping is decided sample by sample.
    """
    start = goal.ascent(model, x, loss=margin)
    search, nearest = WeightSearch(initial_c, x), Nearest(x)
    fista = _Round(model, x, goal, start, nearest, steps, learning_rate, confidence, beta, rule)
    for _ in range(search_steps):
        search.narrow(fista.run(search.c))
    return nearest.points


@dataclass(frozen=True)
class _Round:
    """What is the same in every round."""

    model: Model
    x: Tensor
    goal: Goal
    start: Ascent  # at x, of the margin
    nearest: Nearest
    steps: int
    learning_rate: float
    confidence: float
    beta: float
    rule: str

    def run(self, c: Tensor) -> Tensor:
        """Minimise for the weights c (N,), and return where a point reached the goal, (N,) bool."""
        x, found = self.x, self.start
        reached = torch.zeros_like(c, dtype=torch.bool)
        rows = torch.arange(len(x), device=x.device)
        xₖ, yₖ, before, loss = x, x, torch.full_like(c, torch.inf), torch.zeros_like(c)
        for k in range(self.steps):
            if k > 0:
                found = self.goal.ascent(self.model, yₖ, rows, loss=margin, candidates=False)
                hit = self._hit(found.logits, rows)
                reached[rows] |= hit & (self.nearest.measure[rows] < torch.inf)
                due = k % math.ceil(self.steps / _LOOKS) == 0
                reached[self._look(xₖ, x, rows, hit | due)] = True
                loss = loss + self._distance(xₖ - x) + c * (-found.objective).clamp_min(-self.confidence)
                if due:
                    left = (loss < _FALLEN * before).nonzero().squeeze(1)
                    if len(left) == 0:
                        return reached
                    found = Ascent(*(part[left] for part in found))
                    x, xₖ, yₖ, c, before, rows = (part[left] for part in (x, xₖ, yₖ, c, loss, rows))
                    loss = torch.zeros_like(c)
            wanting = over(c * (found.objective < self.confidence), x)
            g = (yₖ - x).mul_(2).addcmul_(found.gradient, wanting, value=-1)
            z = yₖ.sub(g, alpha=self.learning_rate * math.sqrt(1 - k / self.steps))
            xₖ, old = _shrunk(z, x, self.beta), xₖ
            yₖ = xₖ + k / (k + 3) * (xₖ - old)
        reached[self._look(xₖ, x, rows, torch.ones_like(rows, dtype=torch.bool))] = True
        return reached

    def _look(self, point: Tensor, x: Tensor, rows: Tensor, hit: Tensor) -> Tensor:
        """Show the model the points that may be a sample's best, and return the rows of those that reach the goal.

        They are nearer than the best so far; where there is none, y_k hit, which is ahead of x_k until one does, or it
        is time to know how far the sample has come.
        """
        measure, known = self._measure(point - x), self.nearest.measure[rows]
        (nearer,) = ((measure < known) & (hit | (known < torch.inf))).nonzero(as_tuple=True)
        if len(nearer) == 0:
            return nearer
        rows, point = rows[nearer], point[nearer]
        logits = self.goal.logits(self.model, point, rows, candidates=False)
        hit = self._hit(logits, rows)
        self.nearest.enter(rows, point, measure[nearer], hit, lead(self.goal, logits, rows))
        return rows[hit]

    def _hit(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Return where the goal is reached by as much as the confidence asks for, and in a batch of any size."""
        certain = _CERTAIN * logits.abs().amax(dim=1)
        return self.goal.hit(logits, rows) & (lead(self.goal, logits, rows) >= certain.clamp_min(self.confidence))

    def _distance(self, δ: Tensor) -> Tensor:
        """Return the elastic-net distance, (N,)."""
        δ = δ.flatten(1)
        return δ.square().sum(dim=1) + self.beta * δ.abs().sum(dim=1)

    def _measure(self, δ: Tensor) -> Tensor:
        """Return by what the nearest is chosen, (N,)."""
        return self._distance(δ) if self.rule == "en" else δ.flatten(1).abs().sum(dim=1)


def _shrunk(z: Tensor, x: Tensor, beta: float) -> Tensor:
    """Return S_beta(z): changes of at most beta are undone, the others lose beta."""
    δ = z - x
    return (δ.abs() - beta).clamp_min_(0).mul_(δ.sign()).add_(x).clamp_(0, 1)
