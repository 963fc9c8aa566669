"""Defensive distillation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.losses import cross_entropy
from workers.recipe import Recipe, Round, Step

# The rounds at T = 1.
_AT_ONE = (0, 2)


@dataclass(frozen=True, kw_only=True)
class DefensiveDistillation(Recipe):
    """A teacher trained at temperature T labels the data; a student learns those labels at T, and answers at T = 1.

    teacher: J(softmax(z / T), y);   student: -sum_i p_i log softmax(z / T)_i,  p = softmax(z_teacher / T)

    `temperature` T >= 1; `teacher_epochs` >= 1. Deployed at T = 1 the logits are about T times larger than those of a
    net trained without: the softmax is saturated and the gradient of its loss vanishes in float32, which stops attacks
    that climb it. It is not robustness: an attack on the margin of the logits goes through.

    Source: arXiv:1511.04508.
    Differs from the paper in: each network starts with one epoch at T = 1, a round of its own before its epochs at T,
    as in the rebuild of arXiv:1608.04644, without which high temperatures converge badly; both networks start from the
    same initial weights.
    """

    temperature: float
    teacher_epochs: int

    def rounds(self, epochs: int) -> tuple[Round, ...]:
        """The teacher's epoch at T = 1 and its own epochs, then the student's."""
        return Round(1), Round(self.teacher_epochs, fresh=False), Round(1), Round(epochs, fresh=False)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """Cross-entropy with y or with the teacher's answer."""
        z = model(x)
        if step.round in _AT_ONE:
            return cross_entropy(z, y).mean()
        T = self.temperature
        if step.teacher is None:
            return cross_entropy(z / T, y).mean()
        with torch.no_grad():
            p = F.softmax(step.teacher(x) / T, dim=1)
        return F.cross_entropy(z / T, p)
