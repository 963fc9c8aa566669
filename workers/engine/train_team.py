"""The processes that train one network together, as the training loop sees them; mostly there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from workers.engine.feed import Batch, Part
from workers.models import Classifier
from workers.recipe import Recipe, Step

# The loss of one batch, or of a process's part of it.
Objective = Callable[[Tensor, Tensor, Step], Tensor]


class Team:
    """A process that trains alone. `workers.engine.train_processes` has the one of several."""

    # What this process takes of every batch.
    part = Part()

    def objective(self, defense: Recipe, network: Classifier) -> Objective:
        """The defense's loss as a function that is called once a step."""
        return partial(defense.loss, network)

    def differentiate(self, loss: Tensor, batch: Batch) -> Tensor:
        """Give the weights the gradient of the whole batch's loss; returns this process's share of it, detached."""
        del batch
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def stream(self, seed: int, batch: Batch) -> torch.Generator:
        """The random numbers of one step, for this process's rows of the batch."""
        del batch
        return torch.Generator().manual_seed(seed)

    def noise(self, seed: int) -> int:
        """The seed of what a network draws by itself, e.g. dropout."""
        return seed

    def unite(self, batch: Batch) -> Callable[[Sequence[Tensor]], None] | None:
        """What `Step.unite` is; None: leave the tensors as they are."""
        del batch
        return None

    def agreed(self, *, wish: bool) -> bool:
        """What the first process wishes, in all of them."""
        return wish

    def gather(self, total: Tensor) -> None:
        """Add up in the first process, in place; the others go on from 0."""

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Make tensors what they are in the first process."""
