"""Decoupled direction and norm."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import Ball, Generators, draw
from workers.weighing import over

# The last step's part of the first one, which is 1.
_LAST_STEP: Final = 0.01


def ddn(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    steps: int,
    gamma: float,
    initial_norm: float,
    generator: Generators,
) -> Tensor:
    """Steps along the gradient's direction, put on a sphere that shrinks where the goal is reached and grows elsewhere.

        delta   = delta_k + a_k g / |g|_2,   g = grad_x J(x_k, y), a_k from 1 to 0.01 along a cosine
        eps_k+1 = (1 - gamma) eps_k where x_k reaches the goal, (1 + gamma) eps_k elsewhere
        x_k+1   = clip(x + eps_k+1 delta / |delta|_2, 0, 1),   delta_k+1 = x_k+1 - x

    `x` (N, ...) in [0, 1]; `steps` >= 1; 0 < `gamma` <= 1; `initial_norm` eps_0 > 0, a Euclidean length. Returns
    x_steps, detached; the nearest point that reaches the goal is the engine's to keep. `generator` is for a sample
    whose gradient is 0: it moves along a random direction.

    Source: arXiv:1811.09600, algorithm 1; that delta_k+1 is what the box left of it is the authors' code.
    Differs from the paper in: no quantisation; eps is never more than the way to the box's furthest corner; the paper
    leaves a sample whose gradient is 0 where it is.
    """
    noise = ball.steepest(draw(torch.randn, x, generator))
    furthest = ball.distance((x < 0.5).to(x), x)  # (N,)
    xₙ, ε = x, torch.full_like(furthest, initial_norm)
    for k in range(steps):
        found = goal.ascent(model, xₙ)
        α = _LAST_STEP + (1 - _LAST_STEP) * (1 + math.cos(math.pi * k / steps)) / 2
        flat = found.gradient.flatten(1).abs().amax(dim=1) == 0
        δ = (xₙ - x).add_(torch.where(over(flat, x), noise, ball.steepest(found.gradient)), alpha=α)
        ε = (ε * torch.where(goal.hit(found.logits), 1 - gamma, 1 + gamma)).minimum(furthest)
        xₙ = ball.steepest(δ).mul_(over(ε, x)).add_(x).clamp_(0, 1)
    return xₙ
