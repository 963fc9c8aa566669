"""Iterative least-likely class method."""

from __future__ import annotations

from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import Ball


def iterative_least_likely(model: Model, x: Tensor, goal: Goal, ball: Ball, *, steps: int, step_size: float) -> Tensor:
    """Small steps towards the class that the model finds least likely on the clean input.

        y_LL = argmin_y p(y | x)
        x_0 = x;   x_{n+1} = clip_{x,epsilon}(x_n - step_size * sign(grad_x J(x_n, y_LL)))

    `goal` must be `Targeted(least_likely(model(x)))`, which owns the minus sign. `x` (N, ...) in [0, 1]; `steps` >= 1;
    `step_size` > 0 in units of pixels in [0, 1]. Returns x_steps, detached.

    Source: arXiv:1607.02533, section 2.3, with the step_size and number of steps of its section 2.2.
    """
    S, xₙ = ball.around(x), x
    for _ in range(steps):
        g = goal.gradient(model, xₙ)
        xₙ = S.project(xₙ.add(ball.steepest(g), alpha=step_size))
    return xₙ


def least_likely(logits: Tensor) -> Tensor:
    """Return y_LL from the clean logits (N, K): (N,) int64, the first of equals."""
    return logits.argmin(dim=1)
