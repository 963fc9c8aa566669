"""Projected gradient descent on the negative loss."""

from __future__ import annotations

from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import Ball, Generators


def pgd(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    random_start: bool,
    generator: Generators,
) -> Tensor:
    """Steepest ascent from a random point of the ball, projected on the ball and on [0, 1] after each step.

        x_0 = x + U(S);   x_{n+1} = Proj_{x+S}(x_n + step_size * steepest(grad_x J(x_n, y)))

    steepest(g) is sign(g) in L-infinity, g / |g|_2 in L2, and in L1 the sparse step of arXiv:1904.13000 (see
    `workers.threats.L1`). `x` (N, ...) in [0, 1]; `steps` >= 1; `step_size` > 0 in units of pixels in [0, 1]; without
    `random_start` x_0 = x and `generator` is not used. Returns x_steps, detached.
    The objective (which loss, and the sign of a target) is the goal's; restarts are the engine's.

    Source: arXiv:1706.06083, eq. 2.1 and the iteration below it; section 5 for MNIST's 40 steps of 0.01 at epsilon 0.3.
    """
    S = ball.around(x)
    xₙ = S.random(generator) if random_start else x
    for _ in range(steps):
        g = goal.gradient(model, xₙ)
        xₙ = S.project(xₙ.add(ball.steepest(g, xₙ), alpha=step_size))
    return xₙ
