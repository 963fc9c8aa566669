"""Natural evolution strategies."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.probing import draw_points, log_odds, of, portions
from workers.threats import Ball, Generators


def nes(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    queries: int,
    samples: int,
    sigma: float,
    step_size: float,
    momentum: float,
    generator: Generators,
) -> Tensor:
    """Projected steepest ascent along a gradient that is estimated from scores.

        g_n = 1 / (2 samples sigma) sum_i u_i (J(x_n + sigma u_i) - J(x_n - sigma u_i)),   u_i ~ N(0, I)
        m_{n+1} = momentum m_n + (1 - momentum) g_n
        x_{n+1} = Proj_{x+S}(x_n + step_size * steepest(m_{n+1})),   x_0 = x, m_0 = 0

    J(x) = log((1 - p(y | x)) / p(y | x)), with a target t log(p(t | x) / (1 - p(t | x))); steepest(m) is sign(m) in
    L-infinity and m / |m|_2 in L2. `x` (N, ...) in [0, 1]; `queries` >= 1 bounds the
    forwards of a sample, 2 `samples` + 1 a step, the last of which asks about x_{n+1} itself; a last step has fewer
    pairs. `sigma` > 0 and `step_size` > 0 in units of pixels in [0, 1]; 0 <= `momentum` <= 1. Returns the last points,
    detached; a sample that has reached the goal stays where it is. Points x_n +- sigma u may lie outside ball and box,
    and are no results.

    Source: arXiv:1804.08598, algorithm 1 and section 2.2 (query-limited setting); the momentum is in the authors'
    published code.
    Differs from the paper in: J is log odds, not the cross-entropy, which has the same gradient but for its length and
    vanishes where the label is nearly certain; the step size is not lowered where the loss stagnates.
    """
    S, xₙ, m = ball.around(x), x.clone(), torch.zeros_like(x)
    rows, left = goal.alive, queries
    while len(rows) > 0 and (pairs := min(samples, (left - 1) // 2)) > 0:
        g = _estimate(model, xₙ, goal, rows, pairs=pairs, sigma=sigma, generator=generator)
        m[rows] = momentum * m[rows] + (1 - momentum) * g
        xₙ[rows] = S.project(xₙ.add(ball.steepest(m), alpha=step_size))[rows]
        rows = rows[~goal.decide(model, xₙ[rows], rows)]
        left -= 2 * pairs + 1
    return xₙ


def _estimate(
    model: Model, xₙ: Tensor, goal: Goal, rows: Tensor, *, pairs: int, sigma: float, generator: Generators
) -> Tensor:
    """Return the gradient at the points of some samples, (R, ...), from 2 `pairs` scores each."""
    here, g = xₙ[rows], torch.zeros_like(xₙ[rows])
    for count in portions(xₙ, pairs):
        u = draw_points(torch.randn, here, count, of(generator, rows))  # (R, count, ...)
        points = torch.cat([here.unsqueeze(1) + sigma * u, here.unsqueeze(1) - sigma * u], dim=1)
        asked = rows.repeat_interleave(2 * count)
        logits = goal.logits(model, points.flatten(0, 1), asked, candidates=False)
        J = log_odds(goal, logits, asked).view(len(rows), 2, count)
        change = (J[:, 0] - J[:, 1]).to(xₙ.dtype)
        g += (change.view(len(rows), count, *[1] * (xₙ.ndim - 1)) * u).sum(dim=1)
    return g / (2 * pairs * sigma)
