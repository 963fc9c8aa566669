"""Multiple glimpses."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.losses import cross_entropy
from workers.models.components import Glimpses
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class MultipleGlimpses(Recipe):
    """Training on one random glimpse of each picture; the network will answer about several.

    J(theta, x shifted by s, y)

    `glimpses` >= 1, `shift` >= 0 in pixels and `random_glimpses` are those of `components.Glimpses`, where the formula
    stands; the component also shifts the pictures in training.

    Source: arXiv:1511.06292.
    """

    glimpses: int
    shift: int
    random_glimpses: bool

    def component(self) -> Glimpses:
        """Glimpses: one in training mode, all of them in evaluation mode."""
        return Glimpses(glimpses=self.glimpses, shift=self.shift, random_glimpses=self.random_glimpses)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J(theta, x shifted, y)."""
        del step
        return cross_entropy(model(x), y).mean()
