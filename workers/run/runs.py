"""The runs of a job's shard: which of them are made, which follow from others, and what part of the work each is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from sparring.v1 import attacks_pb2

from workers.attacks import ATTACKS
from workers.engine.monitor import Monitor
from workers.engine.plan import look_up
from workers.evaluation import ShardRun, within
from workers.run import messages

# Key in the shard, curve and attack of each.
Runs = list[tuple[str, int | None, attacks_pb2.Attack]]


@dataclass(frozen=True)
class Part:
    """A monitor of a part of the work, `span` of the whole from `begin` on."""

    whole: Monitor
    begin: float
    span: float

    def tick(self, fraction: float, message: str = "") -> None:
        """Pass on, in units of the whole."""
        self.whole.tick(self.begin + self.span * fraction, message)

    def metric(self, name: str, value: float, step: int) -> None:
        """Pass on."""
        self.whole.metric(name, value, step)


def widest(runs: Runs) -> dict[int | None, str]:
    """The run of the largest radius, for each curve of an attack that looks for the shortest perturbation.

    What it finds says what it would have found within any smaller radius: it is the only one that is run.
    """
    found: dict[int | None, tuple[float, str]] = {}
    for key, curve, attack in runs:
        plan = messages.plan(attack)
        if curve is not None and ATTACKS[plan.name].minimum:
            found[curve] = max(found.get(curve, (-1.0, "")), (plan.epsilon, key))
    return {curve: key for curve, (_, key) in found.items()}


def narrowed(run: ShardRun, key: str, _: int | None, attack: attacks_pb2.Attack) -> ShardRun:
    """The run at a smaller radius; the propagations were all charged to the widest."""
    free = torch.zeros_like(run.forwards)
    found = within(run, messages.plan(attack).epsilon)
    return replace(found, key=key, x_adv=None, forwards=free, backwards=free)


def parts(runs: Runs, monitor: Monitor) -> Iterator[Part]:
    """A monitor for each run, its part of the whole in proportion to the queries that it asks at most."""
    weights = [2 + look_up(messages.plan(attack), survivors_only=True).total_calls for _, _, attack in runs]
    begin = 0.0
    for weight in weights:
        span = weight / sum(weights)
        yield Part(monitor, begin, span)
        begin += span
