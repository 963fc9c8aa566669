"""A perturbation at test time that reduces the network's confidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.models.components.kind import Component, Make, require_within


@dataclass(frozen=True, kw_only=True)
class ConfidenceReduction(Component):
    """Before it answers, the network moves the picture one step down the slope of its own confidence.

    z = f(x'),   x' = clip(x - reduction * sign(grad_x max_k log softmax(f(x))_k), 0, 1)

    `reduction` in [0, 1], pixel units. Only in evaluation mode: in training mode x goes through. The step is piecewise
    constant in x, and has no slope of its own; the backward pass takes it for the identity, dx'/dx = 1
    (straight-through, or BPDA: arXiv:1802.00420, section 4.1), so that every attack by gradients goes through it.

    Source: the list of defenses that fail in Goodfellow's talks; no paper defines it, and this is our reading of it.
    """

    reduction: float

    def __post_init__(self) -> None:
        require_within("reduction", self.reduction, 0, 1)

    def around(self, make: Make, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
        """See `Component`."""
        del input_shape
        return Retreating(make(classes), self)


class Retreating(nn.Module):
    """A network that sees pictures of which it is less sure."""

    def __init__(self, inner: nn.Module, settings: ConfidenceReduction) -> None:
        super().__init__()
        self.inner, self.settings = inner, settings

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, K)."""
        if not self.training:
            x = x + (self._retreated(x) - x.detach())
        logits: Tensor = self.inner(x)
        return logits

    def _retreated(self, x: Tensor) -> Tensor:
        """The picture after the step, without a graph; the slope is there also where the caller wants none."""
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            confidence = self.inner(point).log_softmax(dim=1).amax(dim=1)
            (slope,) = torch.autograd.grad(confidence.sum(), point)
        return (x.detach() - self.settings.reduction * slope.sign()).clamp(0, 1)
