"""Noise at test time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.models.components.kind import Component, Make, mean_answer, require_within

MOST_VOTES = 256


@dataclass(frozen=True, kw_only=True)
class Noise(Component):
    """Gaussian noise is added to the picture before it is classified; several noisy copies have one vote each.

    z_k = log (1/V) sum_{v <= V} softmax(f(x + sigma n^v))_k,   n^v ~ N(0, 1) for each pixel

    `sigma` in [0, 1], pixel units; `votes` V in [1, 256]. Only in evaluation mode: in training mode x goes through.
    The noisy picture is not clipped. Differentiable, so that an attack that averages its gradients goes through it.

    Source: arXiv:1412.5068 (noise that is added to adversarial examples); the vote is ours.
    """

    sigma: float
    votes: int

    def __post_init__(self) -> None:
        require_within("sigma", self.sigma, 0, 1)
        require_within("votes", self.votes, 1, MOST_VOTES)

    @property
    def random(self) -> bool:
        """Where there is noise at all."""
        return self.sigma > 0

    def around(self, make: Make, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
        """See `Component`."""
        del input_shape
        return Noisy(make(classes), self)


class Noisy(nn.Module):
    """A network that sees noisy pictures."""

    def __init__(self, inner: nn.Module, settings: Noise) -> None:
        super().__init__()
        self.inner, self.settings = inner, settings

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, K)."""
        if self.training:
            logits: Tensor = self.inner(x)
            return logits
        copies = x.expand(self.settings.votes, *x.shape)
        noisy = copies + self.settings.sigma * torch.randn_like(copies)
        return mean_answer(self.inner(noisy.flatten(0, 1)).unflatten(0, copies.shape[:2]))
