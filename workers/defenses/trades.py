"""TRADES."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.hardening import kl_examples, trades_loss
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class Trades(Recipe):
    """Cross-entropy on clean samples and, weighed by beta, how far the prediction can be moved within the ball.

    min_theta E [ J(theta, x, y) + beta * max_{||delta||_inf <= epsilon} KL(p(x) || p(x + delta)) ]

    `epsilon` in [0, 1] and `step_size` in (0, 1], pixel units; `steps` K >= 1 of the inner attack; `beta` >= 0, which
    is 1 / lambda in the paper: the larger, the more robust and the less accurate. Epsilon and the step rise over the
    part `epsilon_ramp` in [0, 1] of the training. The inner attack starts at x + 0.001 N(0, I), climbs the divergence,
    and needs no label.
    Costs 2 K + 7 propagations of a batch: p(x) is computed once for the inner attack, and once for the loss.

    Source: arXiv:1901.08573, eq. 5 and algorithm 1.
    Differs from the paper in: the ramp.
    """

    epsilon: float
    steps: int
    step_size: float
    beta: float
    epsilon_ramp: float

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J(theta, x, y) + beta * KL(p(x) || p(x_adv))."""
        x_adv = kl_examples(model, x, step, self)
        return trades_loss(model, x, x_adv, y, self.beta)
