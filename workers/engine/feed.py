"""Which samples each step of a training learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.data import Dataset
from workers.engine.augment import Augmentation
from workers.engine.seeds import key
from workers.failures import Rejected
from workers.recipe import Recipe

# Purposes of random streams; see `seeds.key`.
_ORDER: Final = -3
_LABELLED: Final = -5
_DRAW: Final = -6
_MOVES: Final = -8
_MOVES_UNLABELLED: Final = -9
# The label of a sample whose label may not be read.
_UNREAD: Final = -1


@dataclass(frozen=True)
class Part:
    """Which part of every batch a process takes: part number `rank` of `size` whose lengths differ by one at most."""

    rank: int = 0
    size: int = 1

    def rows(self, count: int) -> slice:
        """The rows of a batch of `count`."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)


_WHOLE: Final = Part()


@dataclass(frozen=True)
class Batch:
    """Pictures (N, C, H, W) float32 in [0, 1], labels (N,) int64, and pictures without labels (M, C, H, W), if any."""

    x: Tensor
    y: Tensor
    unlabelled: Tensor | None = None
    # Rows of the whole batch, of which these are a part: those of `x`, and those of `unlabelled`.
    count: int = 0
    count_unlabelled: int = 0


class Feed:
    """Cuts epochs into batches; every one a function of the seed and the number of its epoch or step.

    An epoch is cut into parts that differ by one sample at most: no sample is left out, and there is no small last
    batch, whose statistics batch normalisation would take for good. Where the recipe reads some labels only, the parts
    are batches of all the pictures, without labels, and a batch of those with labels is drawn beside each, without
    replacement.
    """

    def __init__(
        self, data: Dataset, recipe: Recipe, batch_size: int, seed: int, augmentation: Augmentation | None = None
    ) -> None:
        """`batch_size` is the most samples of a batch. Raises Rejected for more labels to read than there are."""
        self._data, self._recipe, self._seed = data, recipe, seed
        self._augmentation = augmentation
        self._parts = math.ceil(len(data) / batch_size)
        self._replays = recipe.replays
        # Steps of an epoch.
        self.steps = self._parts * self._replays
        self._y, self._labelled = data.y, None
        if recipe.labelled:
            self._labelled = labelled_samples(data, recipe.labelled, seed)
            self._y = torch.full_like(data.y, _UNREAD)
            self._y[self._labelled] = data.y[self._labelled]

    def left(self, step: int) -> tuple[Tensor, ...]:
        """The samples of each step that is left of the epoch that `step` is in; `step` counts over all rounds."""
        epoch, done = divmod(step, self.steps)
        generator = torch.Generator().manual_seed(key(self._seed, epoch, _ORDER))
        order = torch.randperm(len(self._data), generator=generator).to(self._data.x.device)
        parts = order.tensor_split(self._parts)
        return tuple(parts[number // self._replays] for number in range(done, self.steps))

    @property
    def smallest(self) -> int:
        """Samples of the smallest batch, the fewer of those with and those without labels."""
        least = len(self._data) // self._parts
        return least if self._labelled is None else min(least, self._recipe.labelled_batch, len(self._labelled))

    def batch(self, samples: Tensor, step: int, part: Part = _WHOLE) -> Batch:
        """The batch of these samples at this step, or a process's part of it."""
        # What is drawn for a batch stays the same while it is replayed.
        turn = step // self._replays
        if self._labelled is None:
            own = samples[part.rows(len(samples))]
            return Batch(self._pictures(samples, part, turn, _MOVES), self._y[own], count=len(samples))
        generator = torch.Generator().manual_seed(key(self._seed, turn, _DRAW))
        drawn = torch.randperm(len(self._labelled), generator=generator)[: self._recipe.labelled_batch]
        chosen = self._labelled[drawn.to(self._labelled.device)]
        return Batch(
            self._pictures(chosen, part, turn, _MOVES),
            self._y[chosen[part.rows(len(chosen))]],
            self._pictures(samples, part, turn, _MOVES_UNLABELLED),
            len(chosen),
            len(samples),
        )

    def _pictures(self, samples: Tensor, part: Part, turn: int, purpose: int) -> Tensor:
        """The pictures of a process's part of these samples, moved and mirrored where that is asked for."""
        rows = part.rows(len(samples))
        x = self._data.pixels(samples[rows])
        if self._augmentation is None:
            return x
        generator = torch.Generator().manual_seed(key(self._seed, turn, purpose))
        return self._augmentation(x, generator, rows, len(samples))


def labelled_samples(data: Dataset, count: int, seed: int) -> Tensor:
    """The numbers of `count` samples, as many of each class as of any other, or one more, (count,) int64."""
    if count > len(data):
        raise Rejected("TOO_FEW_SAMPLES", f"{count} labelled samples are asked for, the data have {len(data)}")
    generator = torch.Generator().manual_seed(key(seed, 0, _LABELLED))
    order = torch.randperm(len(data), generator=generator).to(data.y.device)
    of_class = [order[data.y[order] == label] for label in range(data.classes)]
    # The first of every class, then the second of every class, and so on.
    places = torch.cat([torch.arange(len(samples)) for samples in of_class])
    turns = places.argsort(stable=True).to(order.device)
    return torch.cat(of_class)[turns][:count]
