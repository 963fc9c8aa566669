"""Double backpropagation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.losses import cross_entropy
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class DoubleBackpropagation(Recipe):
    """Cross-entropy and a penalty on its slope in the pixels, which is differentiated once more.

    mean_i [ J(theta, x_i, y_i) + gradient_penalty / 2 |grad_x J(theta, x_i, y_i)|^2 ]

    `gradient_penalty` in [0, 10^6].

    Source: Drucker and LeCun 1992, Improving generalization performance using double backpropagation, eq. 1, where the
    energy is a squared error.
    """

    gradient_penalty: float

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """The loss and half the penalty."""
        del step
        point = x.detach().requires_grad_()
        J = cross_entropy(model(point), y)
        (slope,) = torch.autograd.grad(J.sum(), point, create_graph=True)
        return (J + 0.5 * self.gradient_penalty * slope.flatten(1).square().sum(dim=1)).mean()
