"""What an attack is after. A goal owns the sign: whatever it is, the attack climbs `objective`.

    Untargeted   any class but the label       objective = +loss(z, label)
    Targeted     exactly the chosen class      objective = -loss(z, label), label being the chosen class

Legend: x (N, ...) inputs, z (N, K) logits, label (N,) int64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from workers.losses import Loss, cross_entropy

# Anything that turns inputs (N, ...) into logits (N, K): a module, or a plain function.
Model = Callable[[Tensor], Tensor]


class Ascent(NamedTuple):
    """One look at the objective's slope: the input gradient, and the logits that it was taken at."""

    gradient: Tensor  # like x
    logits: Tensor  # (N, K), detached


class Goal(Protocol):
    """All that an attack knows of its goal; the engine passes one that also keeps the books."""

    def gradient(self, model: Model, x: Tensor) -> Tensor:
        """Return the direction to climb, d objective_i / d x_i for each sample i, detached."""


@dataclass(frozen=True)
class _Aim(ABC):
    """A label and the loss that measures the distance to it."""

    label: Tensor
    loss: Loss = cross_entropy

    @abstractmethod
    def objective(self, logits: Tensor) -> Tensor:
        """Return what the attack climbs, (N,)."""

    @abstractmethod
    def reached(self, logits: Tensor) -> Tensor:
        """Return where the prediction is what the attack wants, (N,) bool."""

    def select(self, rows: Tensor) -> Self:
        """Return the goal of some of the samples only."""
        return type(self)(self.label[rows], self.loss)

    def repeat(self, times: int) -> Self:
        """Return the goal of all samples, then of all samples again, and so on."""
        return type(self)(self.label.repeat(times), self.loss)

    def gradient(self, model: Model, x: Tensor) -> Tensor:
        """Return the direction to climb; see `Goal`."""
        with torch.enable_grad():
            return self.ascent(model, x).gradient

    def ascent(self, model: Model, x: Tensor) -> Ascent:
        """Ask the model about `x` and differentiate the objective there; call with gradients enabled."""
        point = x.detach().requires_grad_()
        return self.slope(model(point), point)

    def slope(self, logits: Tensor, point: Tensor) -> Ascent:
        """Differentiate the objective of logits that were computed from `point`, by `point` and by nothing else.

        Call with gradients enabled. `autograd.grad` leaves the `grad` of the parameters alone and spares a third of
        the work of `backward()`. Logits that do not depend on the input have gradient 0.
        """
        objective = self.objective(logits)
        if objective.requires_grad:
            ones = torch.ones_like(objective)
            (gradient,) = torch.autograd.grad(objective, point, ones, allow_unused=True, materialize_grads=True)
        else:
            gradient = torch.zeros_like(point)
        return Ascent(gradient, logits.detach())


@dataclass(frozen=True)
class Untargeted(_Aim):
    """Any class but the label."""

    def objective(self, logits: Tensor) -> Tensor:
        """Return +loss: away from the label."""
        return self.loss(logits, self.label)

    def reached(self, logits: Tensor) -> Tensor:
        """Return where the prediction is no longer the label."""
        return logits.argmax(dim=1) != self.label


@dataclass(frozen=True)
class Targeted(_Aim):
    """Exactly the class `label`."""

    def objective(self, logits: Tensor) -> Tensor:
        """Return -loss: towards the label."""
        return -self.loss(logits, self.label)

    def reached(self, logits: Tensor) -> Tensor:
        """Return where the prediction is the label."""
        return logits.argmax(dim=1) == self.label
