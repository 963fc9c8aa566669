"""Defensive distillation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.losses import cross_entropy


@dataclass(frozen=True, kw_only=True)
class DefensiveDistillation:
    """A teacher trained at temperature T labels the data; a student learns those labels at T, and answers at T = 1.

    teacher: J(softmax(z / T), y);   student: -sum_i p_i log softmax(z / T)_i,  p = softmax(z_teacher / T)

    `temperature` T >= 1; `teacher_epochs` >= 1. Deployed at T = 1 the logits are about T times larger than those of a
    net trained without: the softmax is saturated and the gradient of its loss vanishes in float32, which stops attacks
    that climb it. It is not robustness: an attack on the margin of the logits goes through.

    Source: arXiv:1511.04508.
    Differs from the paper in: each network starts with one epoch at T = 1 beside its own epochs, as in the rebuild of
    arXiv:1608.04644, without which high temperatures converge badly; both start from the same initial weights.
    """

    temperature: float
    teacher_epochs: int

    def rounds(self, epochs: int) -> tuple[int, ...]:
        """Teacher, then student; each with its epoch at T = 1."""
        return (self.teacher_epochs + 1, epochs + 1)

    def loss(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        teacher: nn.Module | None,
        epoch: int,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Cross-entropy with y or with the teacher's answer."""
        del progress, generator
        z = model(x)
        if epoch == 0:
            return cross_entropy(z, y).mean()
        T = self.temperature
        if teacher is None:
            return cross_entropy(z / T, y).mean()
        with torch.no_grad():
            p = F.softmax(teacher(x) / T, dim=1)
        return F.cross_entropy(z / T, p)
