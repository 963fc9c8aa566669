"""FGSM adversarial training with random start."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.attacks import pgd
from workers.goals import Untargeted
from workers.hardening import risen
from workers.losses import cross_entropy
from workers.recipe import Recipe, Step
from workers.threats import Linf


@dataclass(frozen=True, kw_only=True)
class FgsmRandomStart(Recipe):
    """Cross-entropy on examples that are one step away from a uniform start.

        delta = U(-epsilon, epsilon)
        delta = clip(delta + step_size * sign(grad_delta J(theta, x + delta, y)), -epsilon, epsilon)
        loss  = J(theta, x + delta, y)

    `epsilon` in [0, 1] and `step_size` in (0, 1], pixel units; epsilon and the step rise over the part `epsilon_ramp`
    in [0, 1] of the training. Too long a step overfits catastrophically: the model learns to answer right at the end of
    that one step, and PGD breaks it. A training that probes itself with PGD sees that, and rolls back.
    Costs 5 propagations of a batch: 2 to craft, 3 for the loss.

    Source: arXiv:2001.03994, algorithm 3; section 4 for step_size 1.25 epsilon.
    Differs from the paper in: the ramp; the start is clipped to [0, 1] as well as the example; each roll-back of the
    training halves the step, where the paper stops early; crafted in eval mode.
    """

    epsilon: float
    step_size: float
    epsilon_ramp: float

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J(theta, x + delta, y) at the ramp's present epsilon."""
        part = risen(step, self.epsilon_ramp)
        with step.crafting(model):
            x_adv = pgd(
                model,
                x,
                Untargeted(y),
                Linf(part * self.epsilon),
                steps=1,
                step_size=part * self.step_size / 2**step.rollbacks,
                random_start=True,
                generator=step.generator,
            )
        return cross_entropy(model(x_adv), y).mean()
