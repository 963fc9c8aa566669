"""What every poison is: samples that a victim learns from, some of them the attacker's; and what that was for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.data import Dataset
from workers.engine.monitor import TrainingMonitor
from workers.engine.seeds import key
from workers.failures import Rejected
from workers.models import Classifier
from workers.poisoning.learner import Learner

# Purposes of random streams; see `engine.seeds.key`.
_SPLIT, _CHOICE, LABELS = -30, -31, -32


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenario:
    """What the victim would learn from, what it is judged on, and what the attacker looks at while it crafts."""

    train: Dataset  # N clean samples
    held_out: Dataset
    validation: Dataset


@dataclass(frozen=True, kw_only=True, eq=False)
class Poisoned:
    """What the victim gets to learn from."""

    data: Dataset
    # Which samples of it are poison, (M,) int64.
    index: Tensor
    # What each of them was made from, (M, C, H, W) float32 in [0, 1].
    before: Tensor
    # The held-out picture (1, C, H, W) that it is all about, if it is about one.
    target: Tensor | None = None


class Poison:
    """A way to poison; a frozen dataclass that inherits from it has the fields of its message in the contract.

    Whatever is random in it is keyed by the seed alone: the poison of a larger count begins with that of a smaller one.
    """

    @property
    def attempts(self) -> int:
        """How many poisons of one count are crafted, and learned from, each for itself."""
        return 1

    def scenario(self, train: Dataset, held_out: Dataset, *, seed: int) -> Scenario:
        """What is at stake; raises Rejected where the data are not such as the poison is about."""
        del seed
        return Scenario(train=train, held_out=held_out, validation=train)

    def victim(self, learner: Learner, scenario: Scenario, *, seed: int, monitor: TrainingMonitor) -> Learner:
        """Who learns from the poisoned samples, given how models of this job learn."""
        del scenario, seed, monitor
        return learner

    def craft(
        self,
        scenario: Scenario,
        count: int,
        victim: Learner,
        *,
        seed: int,
        monitor: TrainingMonitor,
        attempt: int = 0,
    ) -> Poisoned:
        """Poison `count` samples; 0 <= count <= half the training samples, 0 <= attempt < attempts."""
        raise NotImplementedError

    def fired(self, model: Classifier, scenario: Scenario, poisoned: Poisoned) -> tuple[int, int]:
        """How often the model does what the poison was for, of how many chances; 0 of 0 where it only adds errors."""
        del model, scenario, poisoned
        return 0, 0


def shuffled(count: int, seed: int, purpose: int = _CHOICE, turn: int = 0) -> Tensor:
    """The numbers 0 .. count - 1 in random order, (count,) int64."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(key(seed, turn, purpose)))


def shuffled_of(data: Dataset, labels: tuple[int, ...], seed: int) -> Tensor:
    """The places of the samples with one of these labels, in random order."""
    places = torch.isin(data.y.cpu(), torch.tensor(labels)).nonzero().squeeze(1)
    return places[shuffled(len(places), seed, _SPLIT)]


def taken(data: Dataset, places: Tensor) -> Dataset:
    """The samples at these places, in their order."""
    return replace(data, x=data.x[places], y=data.y[places])


def first_of(places: Tensor, count: int, data: Dataset, what: str) -> Tensor:
    """The first `count` places; raises Rejected, with the fraction that would do, where there are fewer."""
    if len(places) < count:
        most = len(places) / len(data)
        message = f"{count} of {len(data)} samples are to be poisoned, only {len(places)} are {what}"
        raise Rejected("TOO_FEW_SAMPLES", f"{message}; ask for fractions up to {most:.3g}")
    return places[:count]


def unharmed(data: Dataset) -> Poisoned:
    """No poison at all."""
    return Poisoned(data=data, index=torch.zeros(0, dtype=torch.int64), before=data.pixels(slice(0, 0)))
