"""Fooling images by gradient ascent."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import Ball, Generators, draw

# Below every mean gradient that says anything, above 0.
_TINY = 1e-30


def fooling_gradient(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    steps: int,
    learning_rate: float,
    decay: float,
    from_sample: bool,
    generator: Generators,
) -> Tensor:
    """Climb log p(c | x) from grey with a little noise, drawn back to grey by a share of the way in each step.

        x_0 = 1/2 + N(0, 1)/255, or x itself where `from_sample`
        x_{n+1} = clip(1/2 + (1 - decay) (x_n - 1/2) + learning_rate * g / mean|g|, 0, 1),   g = grad_x log p(c | x_n)

    c is the goal's class. Of `x` (N, ...) only the shape is used, and its ball where epsilon < 1, unless `from_sample`:
    then a picture goes on where earlier steps have left it, and n steps after m are the m + n at once. `steps` >= 1;
    `learning_rate` > 0 in units of pixels in [0, 1]: by so much the mean pixel changes; 0 <= `decay` <= 1. Returns
    x_steps, detached; no point in between is a candidate, because the first whose answer is c is not sure of it yet.

    Source: arXiv:1412.1897, section 2.4 (gradient ascent with an L2 penalty).
    Differs from the paper in: the gradient of log p, divided by its mean size; the paper climbs p with a step that
    shrinks with |g|^2. Grey takes the place of the data's mean picture.
    """
    S = ball.around(x)
    xₙ = x.clone() if from_sample else S.project(0.5 + draw(torch.randn, x, generator) / 255)
    for _ in range(steps):
        g = goal.gradient(model, xₙ, candidates=False)
        size = g.flatten(1).abs().mean(dim=1).clamp_min_(_TINY).view(-1, *[1] * (x.ndim - 1))
        xₙ = S.project(0.5 + (1 - decay) * (xₙ - 0.5) + learning_rate * g / size)
    return xₙ
