"""What an attack is after. A goal owns the sign: whatever it is, the attack climbs `objective`.

    Untargeted   any class but the label       objective = +loss(z, label)
    Targeted     exactly the chosen class      objective = -loss(z, label), label being the chosen class

Legend: x (N, ...) inputs, z (N, K) logits, label (N,) int64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from workers.losses import Loss, cross_entropy

# Anything that turns inputs (N, ...) into logits (N, K): a module, or a plain function.
Model = Callable[[Tensor], Tensor]


class Ascent(NamedTuple):
    """One look at the objective's slope, and what it was taken from."""

    gradient: Tensor  # (N, ...) like x, detached
    logits: Tensor  # (N, K), detached
    objective: Tensor  # (N,), detached


class Goal(Protocol):
    """All that an attack knows of its goal; the engine passes one that also keeps the books (`engine.pursuit`).

    Whatever is asked of the model is asked here. `x` is (N, ...), the whole batch, or with `rows` (R,) int64 the points
    (R, ...) of those samples, each as often as it is named. A point that is asked about is a candidate for the result,
    unless `candidates` is False. Costs are per point: F a forward, B a backward for the input alone.
    """

    @property
    def label(self) -> Tensor:
        """The true label (N,), or the chosen class where there is a target."""

    @property
    def targeted(self) -> bool:
        """Whether `label` is to be reached, not left."""

    @property
    def towards(self) -> Tensor | None:
        """The class (N,) that is to win; None: any other than the label."""

    @property
    def alive(self) -> Tensor:
        """The rows (R,) that still have something to gain, ascending."""

    def objective(self, logits: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return what is climbed, (N,), from logits that are known. No query."""

    def hit(self, logits: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return where these logits reach the goal, (N,) bool. No query."""

    def gradient(self, model: Model, x: Tensor, rows: Tensor | None = None, *, candidates: bool = True) -> Tensor:
        """Return the direction to climb, d objective_i / d x_i for each sample i, detached. Costs F + B."""

    def ascent(
        self,
        model: Model,
        x: Tensor,
        rows: Tensor | None = None,
        *,
        loss: Loss | None = None,
        candidates: bool = True,
    ) -> Ascent:
        """Return gradient, logits and objective; `loss` takes the place of the goal's own for once. Costs F + B."""

    def jacobian(
        self, model: Model, x: Tensor, classes: Tensor | None = None, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of M logits of each sample, (N, M, ...), and all logits (N, K). Costs F + M B.

        `classes` (N, M) int64 says which; None: all K in their order.
        """

    def logits(self, model: Model, x: Tensor, rows: Tensor | None = None, *, candidates: bool = True) -> Tensor:
        """Ask for the scores, (N, K). Costs F."""

    def decide(self, model: Model, x: Tensor, rows: Tensor | None = None, *, candidates: bool = True) -> Tensor:
        """Ask for the label, and learn no more than whether it reaches the goal, (N,) bool. Costs F."""


@dataclass(frozen=True)
class Aim(ABC):
    """A label and the loss that measures the distance to it: a `Goal` without books, for trainings and tests."""

    label: Tensor
    loss: Loss = cross_entropy

    targeted: ClassVar[bool] = False

    @property
    def towards(self) -> Tensor | None:
        """No class in particular."""
        return None

    @property
    def alive(self) -> Tensor:
        """All of them: nobody keeps count."""
        return torch.arange(len(self.label), device=self.label.device)

    @abstractmethod
    def worth(self, logits: Tensor, loss: Loss) -> Tensor:
        """Return the objective by any loss, (N,)."""

    @abstractmethod
    def reached(self, logits: Tensor) -> Tensor:
        """Return where the prediction is what the attack wants, (N,) bool."""

    def select(self, rows: Tensor) -> Self:
        """Return the goal of some of the samples only, in the order of `rows`."""
        return replace(self, label=self.label[rows])

    def repeat(self, times: int) -> Self:
        """Return the goal of all samples, then of all samples again, and so on."""
        return self.select(self.alive.repeat(times))

    def objective(self, logits: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return what the attack climbs, (N,); see `Goal`."""
        return self.worth(logits, self.loss) if rows is None else self.select(rows).objective(logits)

    def hit(self, logits: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return where the goal is reached; see `Goal`."""
        return self.reached(logits) if rows is None else self.select(rows).reached(logits)

    def gradient(self, model: Model, x: Tensor, rows: Tensor | None = None, *, candidates: bool = True) -> Tensor:
        """Return the direction to climb; see `Goal`."""
        return self.ascent(model, x, rows, candidates=candidates).gradient

    def ascent(
        self,
        model: Model,
        x: Tensor,
        rows: Tensor | None = None,
        *,
        loss: Loss | None = None,
        candidates: bool = True,  # noqa: ARG002 no books, no candidates
    ) -> Ascent:
        """Ask the model about `x` and differentiate the objective there; see `Goal`."""
        aim = self if rows is None else self.select(rows)
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            return aim.slope(model(point), point, loss=loss)

    def slope(self, logits: Tensor, point: Tensor, *, loss: Loss | None = None) -> Ascent:
        """Differentiate the objective of logits that were computed from `point`, by `point` and by nothing else.

        Call with gradients enabled. `autograd.grad` leaves the `grad` of the parameters alone and spares a third of
        the work of `backward()`. Logits that do not depend on the input have gradient 0.
        """
        objective = self.worth(logits, self.loss if loss is None else loss)
        if objective.requires_grad:
            ones = torch.ones_like(objective)
            (gradient,) = torch.autograd.grad(objective, point, ones, allow_unused=True, materialize_grads=True)
        else:
            gradient = torch.zeros_like(point)
        return Ascent(gradient, logits.detach(), objective.detach())

    def jacobian(
        self,
        model: Model,
        x: Tensor,
        classes: Tensor | None = None,
        rows: Tensor | None = None,  # noqa: ARG002 the logits' slopes do not depend on whose they are
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of the logits; see `Goal`."""
        return jacobian(model, x, classes)

    def logits(
        self,
        model: Model,
        x: Tensor,
        rows: Tensor | None = None,  # noqa: ARG002 the same for whoever asks
        *,
        candidates: bool = True,  # noqa: ARG002 no books, no candidates
    ) -> Tensor:
        """Ask for the scores; see `Goal`."""
        with torch.no_grad():
            return model(x)

    def decide(self, model: Model, x: Tensor, rows: Tensor | None = None, *, candidates: bool = True) -> Tensor:
        """Ask for the label; see `Goal`."""
        return self.hit(self.logits(model, x, candidates=candidates), rows)


def jacobian(model: Model, x: Tensor, classes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Differentiate M logits of each sample by its input: (N, M, ...) and the logits (N, K), detached.

    `classes` (N, M) int64; None: all K. One forward and M backwards through the graph that it left.
    """
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        logits = model(point)
        if classes is None:
            classes = torch.arange(logits.shape[1], device=x.device).expand(len(x), -1)
        chosen = logits.gather(1, classes)
        gradients = [
            torch.autograd.grad(
                chosen[:, m].sum(), point, retain_graph=True, allow_unused=True, materialize_grads=True
            )[0]
            for m in range(classes.shape[1])
            if chosen.requires_grad
        ]
    if not gradients:
        gradients = [torch.zeros_like(x)] * classes.shape[1]
    return torch.stack(gradients, dim=1), logits.detach()


@dataclass(frozen=True)
class Untargeted(Aim):
    """Any class but the label."""

    def worth(self, logits: Tensor, loss: Loss) -> Tensor:
        """Return +loss: away from the label."""
        return loss(logits, self.label)

    def reached(self, logits: Tensor) -> Tensor:
        """Return where the prediction is no longer the label."""
        return logits.argmax(dim=1) != self.label


@dataclass(frozen=True)
class Targeted(Aim):
    """Exactly the class `label`."""

    targeted: ClassVar[bool] = True

    @property
    def towards(self) -> Tensor:
        """The chosen class."""
        return self.label

    def worth(self, logits: Tensor, loss: Loss) -> Tensor:
        """Return -loss: towards the label."""
        return -loss(logits, self.label)

    def reached(self, logits: Tensor) -> Tensor:
        """Return where the prediction is the label."""
        return logits.argmax(dim=1) == self.label


@dataclass(frozen=True, kw_only=True)
class Steered(Aim):
    """Any class but the label, by way of one class: what the attacks "-T" of AutoAttack are after, class by class.

    The objective pulls towards the class `way`; any other than the label will do (arXiv:2003.01690, section 4).
    """

    way: Tensor  # (N,) int64

    @property
    def towards(self) -> Tensor:
        """The steering class."""
        return self.way

    def select(self, rows: Tensor) -> Self:
        """Return the goal of some of the samples only."""
        return replace(self, label=self.label[rows], way=self.way[rows])

    def worth(self, logits: Tensor, loss: Loss) -> Tensor:
        """Return -loss of the steering class."""
        return -loss(logits, self.way)

    def reached(self, logits: Tensor) -> Tensor:
        """Return where the prediction is no longer the label."""
        return logits.argmax(dim=1) != self.label
