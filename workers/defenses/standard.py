"""Standard training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.losses import cross_entropy


@dataclass(frozen=True, kw_only=True)
class StandardTraining:
    """Cross-entropy on clean batches: the undefended baseline.

    min_theta E J(theta, x, y)
    """

    def rounds(self, epochs: int) -> tuple[tuple[int, bool], ...]:
        """One round."""
        return ((epochs, True),)

    def loss(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        teacher: nn.Module | None,
        round_: int,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """J(theta, x, y)."""
        del teacher, round_, progress, generator
        return cross_entropy(model(x), y).mean()
