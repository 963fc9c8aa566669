"""Noise at train time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from workers.losses import cross_entropy
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class NoiseTraining(Recipe):
    """Cross-entropy on noisy pictures, the noise drawn anew in each step.

    J(theta, clip(x + n, 0, 1), y)

    `noise` and its `amplitude` a in [0, 1], pixel units: "gaussian" N(0, a^2), "uniform" on [-a, a], "sign" -a or a,
    for each pixel. It is no adversarial training: of random directions hardly any is an adversarial one.

    Source: arXiv:1412.6572, section 6, where sign and uniform noise are controls.
    Differs from the paper in: noisy pictures are clipped to [0, 1].
    """

    noise: Literal["gaussian", "uniform", "sign"]
    amplitude: float

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J(theta, clip(x + n), y)."""
        n = self.amplitude * self._drawn(x.shape, step.generator).to(x.device)
        return cross_entropy(model((x + n).clamp(0, 1)), y).mean()

    def _drawn(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Noise of amplitude 1, on the CPU."""
        if self.noise == "gaussian":
            return torch.randn(shape, generator=generator)
        n = 2 * torch.rand(shape, generator=generator) - 1
        return n if self.noise == "uniform" else torch.where(n < 0, -1.0, 1.0)
