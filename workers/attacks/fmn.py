"""Fast minimum-norm attack."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.losses import margin
from workers.threats import L0, L1, L2, Ball, Linf

# Where the cosines end: the step at a hundredth of the first one, gamma at a fiftieth.
_LAST_STEP: Final = 0.01
_LAST_GAMMA: Final = 0.02

# By what the estimate of the boundary is lengthened, so that rounding does not stop it short of it for ever.
_BEYOND: Final = 1.001


def fmn(model: Model, x: Tensor, goal: Goal, ball: Ball, *, steps: int, initial_step: float, gamma_0: float) -> Tensor:
    """Steps along the gradient in a ball that shrinks where the goal is reached and grows elsewhere, in any norm.

        f_k     = max_{i != y} z_i - z_y at x_k; the goal is reached where f_k > 0
        eps_k+1 = min((1 - gamma_k) eps_k, the smallest |x_i - x|_p that reached it)     where x_k reaches it
                  (1 + gamma_k) eps_k                                      where another point did before
                  |x_k - x|_p + |f_k| / |grad f_k|_q                       where none has: the boundary if f were linear
        x_k+1   = Proj_{eps_k+1}(x_k + a_k grad f_k / |grad f_k|_2)        onto the ball around x, and the box

    In L0 eps counts pixels: it begins at 1, and grows and shrinks by gamma_k's part but at least by 1. a_k falls from
    `initial_step` to a hundredth of it along a cosine, gamma_k from `gamma_0` to a fiftieth. `x` (N, ...) in [0, 1];
    `steps` >= 1; both lengths > 0, gamma_0 <= 1. With a target t the margin is z_t - max_{i != t} z_i. Returns x_steps,
    detached; the nearest point that reaches the goal is the engine's to keep.

    Source: arXiv:2102.12827, algorithm 1; the L0 rule as in the authors' code.
    Differs from the paper in: the projection is on ball and box together, not on one and then the other; the estimate
    is lengthened by a thousandth; eps is never more than the way to the box's furthest corner.
    """
    furthest = ball.distance((x < 0.5).to(x), x)  # (N,)
    dual = 1 if isinstance(ball, Linf) else torch.inf if isinstance(ball, L1) else 2
    ε = torch.ones_like(furthest)
    xₙ, nearest = x, torch.full_like(furthest, torch.inf)
    for k in range(steps):
        anneal = (1 + math.cos(math.pi * k / steps)) / 2
        α = initial_step * (_LAST_STEP + (1 - _LAST_STEP) * anneal)
        γ = gamma_0 * (_LAST_GAMMA + (1 - _LAST_GAMMA) * anneal)
        found = goal.ascent(model, xₙ, loss=margin)
        hit, norm = goal.hit(found.logits), ball.distance(xₙ, x)
        nearest = torch.where(hit, nearest.minimum(norm), nearest)
        if isinstance(ball, L0):
            shrunk, grown = ((1 - γ) * ε).floor().minimum(ε - 1), ((1 + γ) * ε).floor().maximum(ε + 1)
        else:
            slope = found.gradient.flatten(1).norm(dual, dim=1)
            estimate = _BEYOND * (norm + found.objective.abs() / slope)
            shrunk, grown = (1 - γ) * ε, torch.where(nearest < torch.inf, (1 + γ) * ε, estimate.nan_to_num(nan=0.0))
        ε = torch.where(hit, shrunk.minimum(nearest), grown).clamp_min(0).minimum(furthest)
        xₙ = ball.of_radius(ε).around(x).project(xₙ.add(L2(ε).steepest(found.gradient), alpha=α))
    return xₙ
