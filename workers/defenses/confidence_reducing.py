"""A perturbation at test time that reduces confidence."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.losses import cross_entropy
from workers.models.components import ConfidenceReduction
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class ConfidenceReducing(Recipe):
    """Standard training of a network that will step away from its own confidence before it answers.

    J(theta, x, y)

    `reduction` in [0, 1], pixel units, is that of `components.ConfidenceReduction`, where the formula stands.

    Source: the list of defenses that fail in Goodfellow's talks; no paper defines it.
    """

    reduction: float

    def component(self) -> ConfidenceReduction:
        """The step, in evaluation mode."""
        return ConfidenceReduction(reduction=self.reduction)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J(theta, x, y): in training mode there is no step."""
        del step
        return cross_entropy(model(x), y).mean()
