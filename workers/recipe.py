"""What a defense is to the training engine: rounds, and the loss of one batch.

A defense is a frozen dataclass that inherits from `Recipe` and says what differs from it. The engine of
`workers.engine.train` owns the rest: the order of samples, the optimiser, checkpoints, probes, stopping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from workers.models import evaluating
from workers.models.components import Component


@dataclass(frozen=True)
class Round:
    """A part of a training with an optimiser and a learning-rate cycle of its own.

    A fresh round begins a network, and the one before it joins the `teachers`; other rounds go on with the network they
    find. The network of the last round is the result.
    """

    epochs: int
    fresh: bool = True
    # Another architecture than the training's; empty for its own. Only the last network may be the training's result,
    # and has to be of its own architecture.
    architecture: str = ""
    # Which weights a fresh round begins with: 0 for the training's initial weights, else others, the same for a number.
    initial: int = 0


def _as_they_are(tensors: Sequence[Tensor]) -> None:
    """Leave them: this process has the whole batch."""


@dataclass(kw_only=True)
class Step:
    """What the loss of one batch may ask for beside the batch."""

    # Number of the round, from 0 on, and how much of it is done, from 0 to 1.
    round: int = 0
    progress: float = 0.0
    # Keyed by the number of the step; on the CPU, whatever the device of the batch.
    generator: torch.Generator = field(default_factory=torch.Generator)
    # The networks of earlier rounds, frozen and in eval mode, in their order.
    teachers: tuple[nn.Module, ...] = ()
    # What the defense keeps from one step to the next, by name; a part of every checkpoint.
    memory: dict[str, Tensor] = field(default_factory=dict)
    # Samples without labels (M, C, H, W), for a defense that asks for them.
    unlabelled: Tensor | None = None
    # Examples are crafted in eval mode, so that batch normalisation learns nothing from half-made ones.
    crafting_in_eval: bool = True
    # How often the training was rolled back because a probe found it overfitting to its own attack.
    rollbacks: int = 0
    # Makes gradients of a mean over this process's part of the batch, in place, those of the mean over the whole: for a
    # defense that differentiates by the weights itself. What follows from the loss is put together without it.
    unite: Callable[[Sequence[Tensor]], None] = _as_they_are

    @property
    def teacher(self) -> nn.Module | None:
        """The network that was trained just before this one, if any."""
        return self.teachers[-1] if self.teachers else None

    def crafting(self, model: nn.Module) -> AbstractContextManager[None]:
        """The mode that examples are crafted in: a stated parameter of the training (arXiv:2010.00467)."""
        return evaluating(model) if self.crafting_in_eval else nullcontext()


class Recipe:
    """A defense of one round, which learns from every label and takes each batch once."""

    def rounds(self, epochs: int) -> tuple[Round, ...]:
        """The rounds of a training of so many `epochs`."""
        return (Round(epochs),)

    def component(self) -> Component | None:
        """What stands around the networks that it trains, from their initial weights on; None for nothing."""
        return None

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """The mean loss of one batch, a scalar.

        `x` (N, C, H, W) float32 in [0, 1], `y` (N,) int64; `model` comes in training mode and is given back in it.
        """
        raise NotImplementedError

    def after_backward(self, model: nn.Module, step: Step) -> None:
        """Called when the loss has been differentiated and no weight has been moved yet."""

    @property
    def replays(self) -> int:
        """How many steps in a row are made on the same batch."""
        return 1

    @property
    def labelled(self) -> int:
        """How many samples' labels may be read; 0 for all. The others come as `Step.unlabelled`."""
        return 0

    @property
    def labelled_batch(self) -> int:
        """How many labelled samples make a batch, where not all are labelled."""
        return 0

    @property
    def divisible(self) -> bool:
        """Whether several processes may each take a part of every batch.

        They may where the loss of a batch is the mean of those of its samples, so that what a defense keeps in
        `Step.memory` is the same whichever part of the batch it was computed from.
        """
        return True
