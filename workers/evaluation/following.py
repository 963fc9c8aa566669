"""How the first samples of a selection are followed to their features, shard by shard (every worker)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from workers.engine.frozen import device_of, frozen
from workers.engine.memory import Portion
from workers.evaluation.features import Features
from workers.evaluation.headline import speaking
from workers.evaluation.inputs import RunInfo
from workers.evaluation.shard import ShardRun
from workers.evaluation.worst import within
from workers.models import Classifier
from workers.models.penultimate import features_of, last_layer


class Followed:
    """The adversarial examples of the first samples of a shard, each of the attack that turned it most surely.

    As `worst_run` picks them; built up attack by attack, so that no more than one picture of each is in memory.
    """

    def __init__(self, count: int, runs: Sequence[RunInfo]) -> None:
        self.count = count
        self.group = speaking(runs)
        self.x: Tensor | None = None
        """(count, C, H, W), None before the first attack that counts."""
        self.run = torch.zeros(count, dtype=torch.int64)
        """The attack by its place among those of the group."""
        self._sure = torch.full((count,), -torch.inf)

    def see(self, run: ShardRun, x_adv: Tensor) -> None:
        """Take over what an attack turned more surely than those before it; x_adv is that of the whole shard."""
        keys = [info.key for info in self.group.runs] if self.group else []
        if run.key not in keys or self.count == 0:
            return
        place = keys.index(run.key)
        assert self.group is not None
        told = within(run, self.group.epsilon) if self.group.runs[place].minimum else run
        # The check of what an attack returned says so if it is of another type; here it must not stop the unit.
        first = x_adv[: self.count].float()
        rank = -told.distance if self.group.no_limit else told.confidence
        sure = torch.where(told.success, rank, -torch.inf)[: self.count].to(self._sure.dtype)
        if self.x is None:
            self.x, self._sure = first.clone(), sure
            self.run.fill_(place)
            return
        better = sure > self._sure
        self.x[better] = first[better]
        self.run[better] = place
        self._sure = torch.where(better, sure, self._sure)


def follow(model: Classifier, x: Tensor, followed: Followed, portion: Portion) -> Features | None:
    """Return the features of a shard's first samples x (m, C, H, W); None where nothing was followed.

    Neither is anything of a network that does not end with a linear layer, nor of one with a component around it, which
    may ask the network in its own way, and more than once.
    """
    layer = last_layer(model) if model.signature.component is None else None
    if layer is None or followed.x is None:
        return None
    before, after = (_features(model, layer, part, portion) for part in (x[: followed.count], followed.x))
    return Features(before=before, after=after, run=followed.run)


def _features(model: Classifier, layer: nn.Linear, x: Tensor, portion: Portion) -> Tensor:
    device, ask = device_of(model), portion.through(model)

    def part(begin: int) -> Tensor:
        given = x[begin : begin + portion.asked].to(device)
        return features_of(ask, layer, given).flatten(1).float().cpu()

    with frozen(model), torch.no_grad():
        starts = range(0, len(x), portion.asked)
        return torch.cat([portion.fit(partial(part, begin), portion.asked) for begin in starts])
