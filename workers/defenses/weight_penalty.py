"""Weight decay as a part of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.losses import cross_entropy
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class WeightPenalty(Recipe):
    """Cross-entropy and a penalty on the squares of all weights.

    J(theta, x, y) + penalty / 2 sum_W |W|^2

    over the parameters with more than one dimension: the weights, and not the offsets. `penalty` in [0, 1000]. Unlike
    the decay of the optimisation, which is decoupled from the gradient, Adam scales it together with the gradient.

    Source: arXiv:1312.6199, section 4, table 1 (weight decay and the distortion that it takes).
    """

    penalty: float

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """The loss and half the penalty."""
        del step
        squares = [weight.square().sum() for weight in model.parameters() if weight.ndim > 1]
        return cross_entropy(model(x), y).mean() + 0.5 * self.penalty * sum(squares, x.new_zeros(()))
