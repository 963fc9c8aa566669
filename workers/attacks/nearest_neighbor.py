"""The fast gradient sign method on a smoothed nearest neighbour."""

from __future__ import annotations

from torch import Tensor

from workers.failures import Rejected
from workers.goals import Goal, Model
from workers.losses import margin
from workers.models.classical import NearestNeighbors, find
from workers.threats import Ball


def nearest_neighbor(model: Model, x: Tensor, goal: Goal, ball: Ball, *, steps: int, temperature: float) -> Tensor:
    """Steps along the gradient of the smoothed nearest neighbour, for classifiers that have none themselves.

        p_k(x) = sum_{i of class k} exp(-|x - r_i|^2 / T) / sum_i exp(-|x - r_i|^2 / T)
        x_0 = x;   x_{n+1} = Proj(x_n + epsilon / steps * steepest(grad_x max_{k != y} log p_k(x_n) - log p_y(x_n)))

    r_i are the model's own references. `x` (N, ...) in [0, 1]; `steps` >= 1; `temperature` T > 0 in units of
    squared pixels. Returns x_steps, detached. Raises Rejected: NOT_NEAREST_NEIGHBORS.

    Source: arXiv:1605.07277, section 3 (k-nearest neighbours), with one step and T = 1.
    Differs from the paper in: it climbs the margin of log p, whose gradient is cross-entropy's for two classes but for
    its length, and remains where p_y is 1 in float32, as it is for most samples.
    """
    found = find(model, NearestNeighbors)
    if found is None:
        raise Rejected("NOT_NEAREST_NEIGHBORS", "nearest_neighbor attacks models of references only; use square")

    def smoothed(point: Tensor) -> Tensor:
        return found.network.soft(found.normalize(point), temperature)

    S, xₙ = ball.around(x), x
    for n in range(steps):
        if n > 0:
            goal.decide(model, xₙ)
        # A copy, as the clean input's logits are known to the engine, but those of another model.
        g = goal.ascent(smoothed, xₙ.clone(), loss=margin, candidates=False).gradient
        xₙ = S.project(xₙ + ball.radius(x) / steps * ball.steepest(g))
    return xₙ
