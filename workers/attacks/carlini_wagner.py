"""Carlini and Wagner's L2 attack."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.goals import Ascent, Goal, Model
from workers.losses import margin
from workers.threats import Ball
from workers.weighing import Nearest, WeightSearch, drawn_back, over

# Adam's constants (arXiv:1412.6980, algorithm 1).
_BETA1: Final = 0.9
_BETA2: Final = 0.999
_TINY: Final = 1e-8

# w is infinite for pixels at exactly 0 and 1, which then would never move. So tanh(w) is not 2 x - 1 but this part of
# it, and x' is drawn apart by as much: nothing is lost of the box, and tanh is not yet flat where it ends. With
# 1 - 1e-6, as is usual, such pixels need hundreds of steps to move at all.
_SHRUNK: Final = 0.999

# A round is looked at ten times; a sample whose loss has not fallen by half a hundredth since the last time is done.
# On 97 digits, 5 rounds of 100 steps: 10 % fewer propagations than at 0.999, and distances that are 0.05 % longer.
_LOOKS: Final = 10
_FALLEN: Final = 0.995


def carlini_wagner(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,  # noqa: ARG001 the distance is the square of L2's, and how far is too far the engine decides
    *,
    search_steps: int,
    steps: int,
    learning_rate: float,
    confidence: float,
    initial_c: float,
    abort_early: bool,
) -> Tensor:
    """Adam on distance and margin together, in variables that cannot leave the box; a search for their weight.

        minimise over w   |x' - x|_2^2 + c f(x'),   x' = (tanh(w) + 1) / 2
        f(x') = max(z_y - max_{i != y} z_i, -confidence)        untargeted
        f(x') = max(max_{i != t} z_i - z_t, -confidence)        targeted at t

    `search_steps` rounds of bisection for the smallest c that succeeds, each sample by itself, from `initial_c` > 0 on;
    each round starts at x and takes at most `steps` steps of `learning_rate`. `confidence` >= 0 in logits. `x` (N, ...)
    in [0, 1]. Returns the nearest point that reached the goal with the confidence, else the last one, detached. With
    `abort_early` a round drops the samples whose loss has stopped falling, ten times a round.

    Source: arXiv:1608.04644, sections 5 and 6.1 (f_6, Adam, binary search); stopping as in the authors' code.
    Differs from the paper in: stopping is decided sample by sample, not for the batch; x' = (tanh(w) / 0.999 + 1) / 2,
    clipped to the box; the gradient at x, where every round starts, is computed once for all of them; no last round
    repeats the smallest c that succeeded; without a confidence the result is drawn back along the straight way to x, as
    far as it still reaches the goal.
    """
    start = goal.ascent(model, x, loss=margin)
    search, nearest = WeightSearch(initial_c, x), Nearest(x)
    optimizer = _Round(model, x, goal, start, nearest, steps, learning_rate, confidence, abort_early)
    for _ in range(search_steps):
        search.narrow(optimizer.run(search.c))
    if confidence > 0:
        return nearest.points
    return drawn_back(model, x, goal, nearest.points, before=start.objective, behind=nearest.lead)


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
    abort_early: bool

    def run(self, c: Tensor) -> Tensor:
        """Minimise for the weights c (N,), and return where a point reached the goal, (N,) bool."""
        x, found = self.x, self.start
        reached = torch.zeros_like(c, dtype=torch.bool)
        rows = torch.arange(len(x), device=x.device)
        w, point = torch.atanh((2 * x - 1) * _SHRUNK), x
        m, v, before = torch.zeros_like(x), torch.zeros_like(x), torch.full_like(c, torch.inf)
        for k in range(1, self.steps + 1):
            g = self._slope(point, x, found, c).mul_(1 - w.tanh().square_())
            m = m.lerp_(g, 1 - _BETA1)
            v = v.mul_(_BETA2).addcmul_(g, g, value=1 - _BETA2)
            scale = v.sqrt().div_(math.sqrt(1 - _BETA2**k)).add_(_TINY)
            w = w.addcdiv(m, scale, value=-self.learning_rate / (1 - _BETA1**k))
            point = w.tanh().div_(_SHRUNK).add_(1).div_(2).clamp_(0, 1)
            found = self.goal.ascent(self.model, point, rows, loss=margin, candidates=self.confidence == 0)
            hit = self.goal.hit(found.logits, rows) & (found.objective >= self.confidence)
            reached[rows] |= hit
            distance = (point - x).flatten(1).square().sum(dim=1)
            self.nearest.enter(rows, point, distance, hit, found.objective)
            if self.abort_early and k < self.steps and k % math.ceil(self.steps / _LOOKS) == 0:
                loss = distance + c * (-found.objective).clamp_min(-self.confidence)
                left = (loss < _FALLEN * before).nonzero().squeeze(1)
                if len(left) == 0:
                    break
                found = Ascent(*(part[left] for part in found))
                x, point, w, m, v, c, before, rows = (part[left] for part in (x, point, w, m, v, c, loss, rows))
        return reached

    def _slope(self, point: Tensor, x: Tensor, found: Ascent, c: Tensor) -> Tensor:
        """Return half the gradient of distance and loss by the point; what tanh adds by w is not in it."""
        wanting = c * (found.objective < self.confidence)
        return (point - x).addcmul_(found.gradient, over(wanting, x), value=-0.5)
