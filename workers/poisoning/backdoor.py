"""A backdoor: a trigger that the model learns to answer with one class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.data import Dataset
from workers.engine.monitor import TrainingMonitor
from workers.failures import Rejected
from workers.models import Classifier
from workers.poisoning.learner import Learner, scores_of
from workers.poisoning.poison import Poison, Poisoned, Scenario, first_of, shuffled_of, taken, unharmed


@dataclass(frozen=True, kw_only=True)
class Backdoor(Poison):
    """Some samples get a bright patch in their lower right corner, and the attacker's label.

        x' = x with a square of trigger_size pixels set to trigger_value,  y' = trigger_label

    On pictures without the patch the model does as before; with it, it answers the attacker's label.
    Source: arXiv:1708.06733, section 3 (a pattern of bright pixels in the corner; "all" classes to one).
    Differs from the paper in: the poisoned samples take the place of clean ones instead of being added to them.
    """

    trigger_label: int = 0
    trigger_size: int = 3
    trigger_value: float = 1.0

    def scenario(self, train: Dataset, held_out: Dataset, *, seed: int) -> Scenario:
        """The data as they are; raises Rejected where the label or the patch does not fit."""
        check_label(self.trigger_label, train, "trigger_label")
        if self.trigger_size > min(train.input_shape[1:]):
            message = f"trigger_size is {self.trigger_size} pixels, the pictures are {list(train.input_shape[1:])}"
            raise Rejected("BAD_PARAMETER", message)
        return super().scenario(train, held_out, seed=seed)

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
        """Patch and relabel `count` samples that are not of the attacker's class."""
        del victim, monitor, attempt
        data = scenario.train
        if count == 0:
            return unharmed(data)
        places = shuffled_of(data, others(data, self.trigger_label), seed)
        index = first_of(places, count, data, f"not of class {self.trigger_label}")
        x, y = data.x.clone(), data.y.clone()
        x[index] = self.stamp(x[index])
        y[index] = self.trigger_label
        return Poisoned(data=replace(data, x=x, y=y), index=index, before=data.pixels(index))

    def fired(self, model: Classifier, scenario: Scenario, poisoned: Poisoned) -> tuple[int, int]:
        """Of the held-out samples of other classes, how many are read as the attacker's with the patch on them."""
        del poisoned
        data = scenario.held_out
        patched = taken(data, (data.y != self.trigger_label).nonzero().squeeze(1))
        if len(patched) == 0:
            return 0, 0
        answers = scores_of(model, replace(patched, x=self.stamp(patched.x))).argmax(1)
        return int((answers == self.trigger_label).sum()), len(patched)

    def stamp(self, x: Tensor) -> Tensor:
        """A copy of pictures (N, C, H, W), bytes or floats, with the patch on them."""
        size = self.trigger_size
        patched = x.clone()
        level = round(255 * self.trigger_value) if x.dtype == torch.uint8 else self.trigger_value
        patched[:, :, -size:, -size:] = level
        return patched


def others(data: Dataset, label: int) -> tuple[int, ...]:
    """All classes but one."""
    return tuple(one for one in range(data.classes) if one != label)


def check_label(label: int, data: Dataset, name: str) -> None:
    """Raise Rejected for a class that the data do not have."""
    if label >= data.classes:
        raise Rejected("BAD_PARAMETER", f"{name} is {label}, the data have the classes 0 to {data.classes - 1}")
