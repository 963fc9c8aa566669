"""A denoising autoencoder in front of the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from workers.models.components.kind import Component, Make, require_within

MOST_UNITS = 8192


@dataclass(frozen=True, kw_only=True)
class Autoencoder(Component):
    """A fully connected autoencoder draws the picture anew, and the network sees its drawing.

    z = f(D(x)),   D(x) = sigmoid(W_3 r(W_2 r(W_1 x + b_1) + b_2) + b_3),   r(a) = max(a, 0)

    Layers of C H W, `units`, `units` and C H W; `units` in [1, 8192]. Differentiable from end to end.

    Source: arXiv:1412.5068 (a denoising autoencoder stacked with the network); arXiv:1705.09064 (MagNet reformer).
    """

    units: int

    def __post_init__(self) -> None:
        require_within("units", self.units, 1, MOST_UNITS)

    def around(self, make: Make, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
        """See `Component`."""
        inner = make(classes)
        values = math.prod(input_shape)
        denoiser = nn.Sequential(
            nn.Flatten(),
            nn.Linear(values, self.units),
            nn.ReLU(),
            nn.Linear(self.units, self.units),
            nn.ReLU(),
            nn.Linear(self.units, values),
            nn.Sigmoid(),
            nn.Unflatten(1, input_shape),
        )
        return Denoised(inner, denoiser)


class Denoised(nn.Module):
    """A network that sees what a denoiser draws."""

    def __init__(self, inner: nn.Module, denoiser: nn.Module) -> None:
        super().__init__()
        self.inner, self.denoiser = inner, denoiser

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, K)."""
        logits: Tensor = self.inner(self.denoiser(x))
        return logits
