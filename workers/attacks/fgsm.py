"""Fast gradient sign method."""

from __future__ import annotations

from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import Ball


def fgsm(model: Model, x: Tensor, goal: Goal, ball: Ball) -> Tensor:
    """One step of length epsilon up the objective's steepest direction.

        x_adv = clip(x + epsilon * sign(grad_x J(x, y)), 0, 1)          untargeted, L-infinity
        x_adv = clip(x - epsilon * sign(grad_x J(x, t)), 0, 1)          targeted at t
        x_adv = clip(x + epsilon * grad_x J / |grad_x J|_2, 0, 1)       L2, the fast gradient method

    `x` (N, ...) in [0, 1]. Returns (N, ...), detached. A sample whose gradient is 0 does not move.

    Source: arXiv:1412.6572, section 4; targeted form arXiv:1611.01236, section 2.
    Differs from the paper in: the result is clipped to [0, 1], as in arXiv:1607.02533; the paper does not clip.
    """
    g = goal.gradient(model, x)
    return ball.around(x).project(x + ball.radius(x) * ball.steepest(g))
