"""Standard training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.losses import cross_entropy
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class StandardTraining(Recipe):
    """Cross-entropy on clean batches: the undefended baseline.

    min_theta E J(theta, x, y)
    """

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J(theta, x, y)."""
        del step
        return cross_entropy(model(x), y).mean()
