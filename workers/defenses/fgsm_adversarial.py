"""FGSM adversarial training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from workers.hardening import one_step
from workers.losses import cross_entropy
from workers.recipe import Recipe, Step
from workers.threats import Linf


@dataclass(frozen=True, kw_only=True)
class FgsmAdversarialTraining(Recipe):
    """A mix of the loss on clean examples and on FGSM examples made afresh in each step.

    J~ = alpha J(theta, x, y) + (1 - alpha) J(theta, x + epsilon sign(grad_x J(theta, x, y)), y)

    `epsilon` in [0, 1] pixel units; `alpha` in [0, 1]. No gradient flows through the sign. With `attack_label`
    "predicted" the example is made with the model's own prediction in the place of y: a model that sees examples made
    with the true label learns to read it off them (label leaking, arXiv:1611.01236, section 4.2).
    Costs 8 propagations of a batch: 2 to craft, 3 for each of the two losses.

    Source: arXiv:1412.6572, section 6.
    Differs from the paper in: examples are clipped to [0, 1], made with the prediction unless told otherwise, and
    crafted in eval mode, so that batch normalisation learns nothing from half-made examples.
    """

    epsilon: float
    alpha: float
    attack_label: Literal["predicted", "true"]

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J~(theta, x, y)."""
        x_adv = one_step(model, x, y, step, Linf(self.epsilon), label=self.attack_label)
        α = self.alpha
        return α * cross_entropy(model(x), y).mean() + (1 - α) * cross_entropy(model(x_adv), y).mean()
