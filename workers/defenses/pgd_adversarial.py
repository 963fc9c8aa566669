"""PGD adversarial training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.hardening import pgd_examples
from workers.losses import cross_entropy
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class PgdAdversarialTraining(Recipe):
    """Cross-entropy on PGD examples with random start, made afresh in each step.

    min_theta E max_{||delta||_inf <= epsilon} J(theta, x + delta, y)

    `epsilon` in [0, 1] and `step_size` in (0, 1], pixel units; `steps` K >= 1 of the inner attack. `epsilon_ramp` in
    [0, 1]: epsilon and the step rise linearly from 0 to their values over this part of the training; without it small
    nets do not leave the plateau of constant answers at large epsilon.
    Costs 2 K + 3 propagations of a batch: nothing is spent on gradients by the weights while crafting.

    Source: arXiv:1706.06083, eq. 2.1 and section 5.
    Differs from the paper in: the ramp; examples are crafted in eval mode, so that batch normalisation learns from
    finished examples only, which arXiv:2010.00467 found to give higher clean accuracy.
    """

    epsilon: float
    steps: int
    step_size: float
    epsilon_ramp: float

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J(theta, x_adv, y) at the ramp's present epsilon."""
        x_adv = pgd_examples(model, x, y, step, self)
        return cross_entropy(model(x_adv), y).mean()
