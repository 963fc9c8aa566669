"""Basic iterative method."""

from __future__ import annotations

from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import Ball


def bim(model: Model, x: Tensor, goal: Goal, ball: Ball, *, steps: int, step_size: float) -> Tensor:
    """FGSM repeated with a small step, clipped to the ball and to [0, 1] after each one.

        x_0 = x;   x_{n+1} = clip_{x,epsilon}(x_n + step_size * sign(grad_x J(x_n, y)))

    `x` (N, ...) in [0, 1]; `steps` >= 1; `step_size` > 0 in units of pixels in [0, 1]. Returns x_steps, detached.
    For a target t the goal turns the sign: - grad_x J(x_n, t). In L2 the step is the gradient at length step_size.

    Source: arXiv:1607.02533, section 2.2: step_size 1/255 and min(k + 4, 1.25 k) steps for k = 255 epsilon.
    """
    S, xₙ = ball.around(x), x
    for _ in range(steps):
        g = goal.gradient(model, xₙ)
        xₙ = S.project(xₙ.add(ball.steepest(g), alpha=step_size))
    return xₙ
