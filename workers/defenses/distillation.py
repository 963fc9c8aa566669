"""Distillation, as a defense and as a way to a smaller net."""

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

    teacher:  T^n J(softmax(z / T), y)
    student:  (1 - w) T^n J(softmax(z / T), p) + w J(softmax(z), y),   p = softmax(z_teacher / T)

    `temperature` T >= 1; `teacher_epochs` >= 1; `teacher_temperature` >= 1 takes the place of T in the teacher's own
    loss, None for T; `teacher_architecture` by its name, empty for the student's own; `hard_weight` w in [0, 1];
    `loss_power` n in 0, 1, 2. Papernot's defense is all of their defaults; Hinton's student has a larger teacher,
    `teacher_temperature` 1, n = 2 and a small w.

    Deployed at T = 1 the logits are about T times larger than those of a net trained without: the softmax is saturated
    and the gradient of its loss vanishes in float32, which stops attacks that climb it. It is not robustness: an attack
    on the margin of the logits goes through.

    Source: arXiv:1511.04508, section IV; arXiv:1503.02531, section 2.
    Differs from the paper in: each network starts with one epoch at T = 1, a round of its own before its epochs at T,
    as in the rebuild of arXiv:1608.04644, without which high temperatures converge badly; the loss at T is multiplied
    by T (n = 1), so that its gradient by the logits, p(z / T) - p, is as large as at T = 1 and one learning rate serves
    every temperature; a student and a teacher of the same architecture start from the same initial weights.
    """

    temperature: float
    teacher_epochs: int
    teacher_architecture: str = ""
    teacher_temperature: float | None = None
    hard_weight: float = 0.0
    loss_power: int = 1

    def rounds(self, epochs: int) -> tuple[Round, ...]:
        """The teacher's epoch at T = 1 and its own epochs, then the student's."""
        teacher = Round(1, architecture=self.teacher_architecture)
        return teacher, Round(self.teacher_epochs, fresh=False), Round(1), Round(epochs, fresh=False)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """The teacher's loss in the first half of the rounds, the student's in the second."""
        z = model(x)
        if step.round in _AT_ONE:
            return cross_entropy(z, y).mean()
        T = self.temperature
        if step.teacher is None:
            T = T if self.teacher_temperature is None else self.teacher_temperature
            return T**self.loss_power * cross_entropy(z / T, y).mean()
        with torch.no_grad():
            p = F.softmax(step.teacher(x) / T, dim=1)
        soft = T**self.loss_power * F.cross_entropy(z / T, p)
        w = self.hard_weight
        return soft if w == 0 else (1 - w) * soft + w * cross_entropy(z, y).mean()
