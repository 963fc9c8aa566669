"""Label flips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from workers.data import Dataset
from workers.engine.monitor import TrainingMonitor
from workers.engine.seeds import key
from workers.poisoning.learner import Learner, scores_of
from workers.poisoning.poison import LABELS, Poison, Poisoned, Scenario, shuffled, unharmed


@dataclass(frozen=True, kw_only=True)
class LabelFlip(Poison):
    """Some samples get a wrong label; their pictures stay as they are.

    choice random: samples and wrong labels are drawn uniformly.
    choice loss: those whose flip raises the loss of a clean model f most, each to the label where it does:

        max over samples i and labels k != y_i of  J(f(x_i), k) - J(f(x_i), y_i)

    Source: label noise in support vector machines, Biggio, Nelson, Laskov, ACML 2011; by loss: the first step of the
    alternation of Xiao, Xiao, Eckert, ECAI 2012.
    Differs from the paper in: the clean model is not fitted again as flips are chosen; any loss, any number of classes.
    """

    choice: Literal["random", "loss"] = "random"

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
        """Flip `count` labels of the training samples."""
        del attempt
        data = scenario.train
        if count == 0:
            return unharmed(data)
        if self.choice == "loss":
            order, wrong = _by_loss(data, victim, seed, monitor)
        else:
            order, wrong = shuffled(len(data), seed), _drawn(data, seed)
        index = order[:count]
        y = data.y.clone()
        y[index] = wrong[index].to(y.device)
        return Poisoned(data=replace(data, y=y), index=index, before=data.pixels(index))


def _drawn(data: Dataset, seed: int) -> Tensor:
    """A wrong label for each sample, drawn uniformly, (N,) int64."""
    generator = torch.Generator().manual_seed(key(seed, 0, LABELS))
    drawn = torch.randint(data.classes - 1, (len(data),), generator=generator)
    return drawn + (drawn >= data.y.cpu()).long()


def _by_loss(data: Dataset, victim: Learner, seed: int, monitor: TrainingMonitor) -> tuple[Tensor, Tensor]:
    """The samples by what a flip adds to the clean model's loss, most first, and the label that adds it."""
    clean = victim.fit(data, seed=seed, monitor=monitor)
    table, y = victim.loss_table(scores_of(clean, data)), data.y.cpu()[:, None]
    rise = (table - table.gather(1, y)).scatter(1, y, -torch.inf)
    most, wrong = rise.max(dim=1)
    return most.argsort(descending=True, stable=True), wrong
