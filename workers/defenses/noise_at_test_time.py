"""Noise at test time."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.losses import cross_entropy
from workers.models.components import Noise
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class NoiseAtTestTime(Recipe):
    """Standard training of a network that will answer about noisy copies of the picture.

    J(theta, x, y)

    `sigma` in [0, 1], pixel units, and `votes` >= 1 are those of `components.Noise`, where the formula stands.

    Source: arXiv:1412.5068.
    """

    sigma: float
    votes: int

    def component(self) -> Noise:
        """Noise, in evaluation mode."""
        return Noise(sigma=self.sigma, votes=self.votes)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J(theta, x, y): in training mode there is no noise."""
        del step
        return cross_entropy(model(x), y).mean()
