"""Ensemble of networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.losses import cross_entropy
from workers.models.components import Committee, Members, part
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class CommitteeOfNetworks(Recipe):
    """The members of a committee side by side, each by its own loss on the same batches.

    sum_{m <= members} J(theta_m, x, y)

    `members` >= 1, which begin with weights of their own. The answer is the mean of their softmaxes
    (`components.Committee`).

    Source: arXiv:1412.6572, section 9.
    Differs from the paper in: the members see the batches in the same order.
    """

    members: int

    def component(self) -> Committee:
        """The committee."""
        return Committee(members=self.members)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """The sum of the members' losses."""
        del step
        logits = part(model, Members).each(x)  # (M, N, K)
        return cross_entropy(logits.flatten(0, 1), y.repeat(len(logits))).mean() * len(logits)
