"""HopSkipJump."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.probing import Purse, draw_points, of, portions, start, to_boundary
from workers.threats import Ball, Generators, Linf

# Halvings of the jump for which queries are set aside.
_JUMPS: Final = 5
# The first estimate's distance from the boundary, in units of pixels in [0, 1].
_FIRST_DELTA: Final = 0.1


def hop_skip_jump(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    queries: int,
    initial_evaluations: int,
    max_evaluations: int,
    gamma: float,
    generator: Generators,
) -> Tensor:
    """Estimate the gradient at the boundary from labels, jump along it, and search back to the boundary.

        phi = +1 where the goal is reached, else -1
        v_n = 1 / B_n sum_b (phi(x_n + delta_n u_b) - mean phi) u_b,   |u_b|_2 = 1 at random,   B_n = B_0 sqrt(n)
        y = x_n + xi steepest(v_n),   xi = |x_n - x| / sqrt(n), halved until phi(y) = 1
        x_{n+1} = the boundary between y and x, by bisection up to theta

    L2: delta_n = sqrt(D) theta |y - x|_2, theta = gamma / D^(3/2); L-infinity: delta_n = D theta |y - x|_inf,
    theta = gamma / D^2; delta_1 = 0.1. steepest(v) is v / |v|_2 or sign(v); where all phi agree, v is +- the mean of u.
    u is Gaussian in L2 and uniform in L-infinity before it is normalised.

    `x` (N, ...) in [0, 1], D values each; `queries` >= 1 bounds the forwards of a sample; `initial_evaluations` B_0 >=
    1, `max_evaluations` >= B_0 bounds B_n; `gamma` > 0. Returns the last points, detached. It starts from noise
    (`workers.probing.start`). Where no noise reaches the goal, as is common for a target, the sample is given up after
    60 queries, and x is returned for it.

    Source: arXiv:1904.02144, algorithms 1 and 2, eqs. 9, 14 to 16 and section 4.
    Differs from the paper in: the last estimate is as large as the queries that are left allow; theta is never below
    2^-23, where float32 ends.
    Measured (benchmarks/queries.py; 50 digits, median distance): L2 1.65 after 1,271 queries, 1.32 after 5,683;
    L-infinity 0.129 after 1,339, 0.092 after 5,811.
    """
    purse, D = Purse(model, goal, x, queries), x[0].numel()
    theta = gamma / (D**2 if isinstance(ball, Linf) else D**1.5)
    rounds = max(1, math.ceil(-math.log2(theta)))
    far, rows = start(purse, x, goal.alive, generator, targeted=goal.targeted)
    delta = torch.full((len(x),), _FIRST_DELTA, dtype=x.dtype, device=x.device)
    xₙ, n = to_boundary(purse, far, x, rows, ball, rounds=rounds), 1
    while len(rows := purse.able(rows, rounds + _JUMPS + 1)) > 0:
        B = min(int(initial_evaluations * math.sqrt(n)), max_evaluations)
        v = _estimate(purse, xₙ, rows, B, delta, reserve=rounds + _JUMPS, generator=generator, ball=ball)
        xi = ball.distance(xₙ, x) / math.sqrt(n)
        y, jumped = _jump(purse, xₙ, ball.steepest(v), xi, rows, reserve=rounds)
        delta = ball.distance(y, x) * gamma / D
        xₙ = to_boundary(purse, y, x, jumped, ball, rounds=rounds)
        n += 1
    return xₙ


def _estimate(
    purse: Purse,
    xₙ: Tensor,
    rows: Tensor,
    evaluations: int,
    delta: Tensor,
    *,
    reserve: int,
    generator: Generators,
    ball: Ball,
) -> Tensor:
    """Return the direction v of each of R samples as (N, ...), 0 elsewhere; keeps a reserve of queries."""
    here, owners = xₙ[rows].unsqueeze(1), rows.unsqueeze(1)  # (R, 1, ...), (R, 1)
    one = [1] * (xₙ.ndim - 1)
    size = delta[rows].clamp_min(1e-30).view(-1, 1, *one)
    total, signed = torch.zeros_like(xₙ[rows]), torch.zeros_like(xₙ[rows])
    balance, done = torch.zeros_like(delta[rows]), 0
    count = (purse.left[rows] - reserve).clamp_max(evaluations)  # (R,)
    for drawn in portions(xₙ, evaluations):
        u = _directions(xₙ[rows], drawn, of(generator, rows), ball)
        points = (here + size * u).clamp_(0, 1)
        paid = done + torch.arange(drawn, device=xₙ.device) < count.unsqueeze(1)  # (R, drawn)
        phi = torch.zeros(paid.shape, dtype=xₙ.dtype, device=xₙ.device)
        if paid.any():
            reached = purse.decide(points[paid], owners.expand_as(paid)[paid], candidates=False)
            phi[paid] = 2 * reached.to(xₙ.dtype) - 1
        u = (points - here) / size * paid.view(*paid.shape, *one)  # what the box has left of it
        total += u.sum(dim=1)
        signed += (phi.view(*phi.shape, *one) * u).sum(dim=1)
        balance += phi.sum(dim=1)
        done += drawn
    mean = (balance / count).view(-1, *one)
    v = torch.where(mean.abs() == 1, signed, signed - mean * total)
    return torch.zeros_like(xₙ).index_copy_(0, rows, v)


def _directions(x: Tensor, count: int, generator: Generators, ball: Ball) -> Tensor:
    """Return random directions of length 1, (R, count, ...)."""
    linf = isinstance(ball, Linf)
    u = draw_points(torch.rand if linf else torch.randn, x, count, generator)
    u = u.mul_(2).sub_(1) if linf else u
    length: Tensor = u.flatten(2).norm(dim=2).clamp_min(1e-30)
    return u / length.view(len(x), count, *[1] * (x.ndim - 1))


def _jump(purse: Purse, xₙ: Tensor, v: Tensor, xi: Tensor, rows: Tensor, *, reserve: int) -> tuple[Tensor, Tensor]:
    """Return the points (N, ...) that the longest steps along v lead to, halved from xi on, and the rows that moved."""
    y, going = xₙ.clone(), rows
    while len(going := purse.able(going, reserve + 1)) > 0:
        step = xi[going].view(-1, *[1] * (xₙ.ndim - 1))
        tried = (xₙ[going] + step * v[going]).clamp_(0, 1)
        hit = purse.decide(tried, going)
        y[going[hit]] = tried[hit]
        going, xi = going[~hit], xi / 2
    return y, rows[(y != xₙ).flatten(1).any(dim=1)[rows]]
