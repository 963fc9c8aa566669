"""One poisoned fraction: poison, learn, judge; with and without a defender who sanitises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from workers.data import Dataset
from workers.engine.monitor import TrainingMonitor
from workers.models import Classifier
from workers.poisoning.learner import Learner, scores_of
from workers.poisoning.loss_sanitizing import loss_sanitizing
from workers.poisoning.poison import Poison, Poisoned, Scenario
from workers.poisoning.sanitizing import Sanitized
from workers.poisoning.share import Share, shares
from workers.poisoning.trimmed import ROUNDS, trimmed

Sanitizer = Literal["none", "loss", "trimmed"]

# Poison samples that are kept to be shown.
PICTURES = 8


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a model; counts over all attempts, each of which judges every held-out sample."""

    judged: int
    wrong: int
    # How often it did what the poison was for, of so many chances.
    fired: int
    chances: int
    # Samples that the defender dropped, and poison among them.
    dropped: int = 0
    caught: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """What one fraction did. The pictures are those of the first attempt."""

    # Samples that the victim was given, and poison among them.
    samples: int
    poisoned: int
    # How many models were fitted, each to a poison of its own; the outcomes are those of all together.
    attempts: int
    plain: Outcome
    # None where nobody sanitised.
    sanitized: Outcome | None
    x: Tensor  # (P, C, H, W) float32, the first poison samples
    before: Tensor  # (P, C, H, W) float32, what each was made from
    label: Tensor  # (P,) int64, as the victim is told
    target: Tensor  # (1, C, H, W) float32, or (0, C, H, W) where there is none


def measure(
    poison: Poison,
    learner: Learner,
    train: Dataset,
    held_out: Dataset,
    fraction: float,
    *,
    sanitizer: Sanitizer = "none",
    dropped_fraction: float | None = None,
    seed: int,
    monitor: TrainingMonitor,
) -> Measurement:
    """Poison `fraction` of the training samples (0 to 0.5, of the clean ones), and judge who learns from them.

    A defender drops `dropped_fraction` of what it is given; None: as much as is poison, which is the most that it could
    know. A function of its arguments. Raises Rejected where the data do not suffice.
    """
    parts = shares(monitor, _weights(poison, sanitizer))
    scenario = poison.scenario(train, held_out, seed=seed)
    victim = poison.victim(learner, scenario, seed=seed, monitor=next(parts))
    count = round(fraction * len(scenario.train))
    crafted: list[Poisoned] = []
    plain: list[Outcome] = []
    sanitized: list[Outcome] = []
    for attempt in range(poison.attempts):
        poisoned = poison.craft(scenario, count, victim, seed=seed, monitor=next(parts), attempt=attempt)
        model = victim.fit(poisoned.data, seed=seed, monitor=next(parts))
        plain.append(_judge(poison, model, scenario, poisoned))
        if sanitizer != "none":
            drop = count if dropped_fraction is None else round(dropped_fraction * len(poisoned.data))
            fitted = model if sanitizer == "loss" else None
            clean = _sanitize(victim, poisoned.data, drop, fitted, seed=seed, monitor=next(parts))
            sanitized.append(_judge(poison, clean.model, scenario, poisoned, clean.kept))
        crafted.append(poisoned)
    together = _total(sanitized) if sanitized else None
    return _measurement(crafted[0], len(crafted), _total(plain), together)


def _weights(poison: Poison, sanitizer: Sanitizer) -> list[float]:
    """How long each part of the work takes, roughly, in fits."""
    each = [1.0, 1.0] + {"none": [], "loss": [1.0], "trimmed": [ROUNDS / 2]}[sanitizer]
    return [1.0, *(each * poison.attempts)]


def _sanitize(
    victim: Learner, data: Dataset, drop: int, fitted: Classifier | None, *, seed: int, monitor: Share
) -> Sanitized:
    """What the defender makes of the samples: by loss, given what a fit to all of them gave, else by trimming."""
    if fitted is None:
        return trimmed(victim, data, drop, seed=seed, monitor=monitor)
    return loss_sanitizing(victim, data, drop, seed=seed, monitor=monitor, first=fitted)


def _judge(
    poison: Poison, model: Classifier, scenario: Scenario, poisoned: Poisoned, kept: Tensor | None = None
) -> Outcome:
    """Errors on the held-out samples, and whether the poison did its own."""
    held_out = scenario.held_out
    wrong = scores_of(model, held_out).argmax(1) != held_out.y.cpu()
    fired, chances = poison.fired(model, scenario, poisoned)
    left = len(poisoned.data) if kept is None else len(kept)
    survived = len(poisoned.index) if kept is None else int(torch.isin(poisoned.index, kept).sum())
    return Outcome(
        judged=len(held_out),
        wrong=int(wrong.sum()),
        fired=fired,
        chances=chances,
        dropped=len(poisoned.data) - left,
        caught=len(poisoned.index) - survived,
    )


def _total(outcomes: list[Outcome]) -> Outcome:
    """All attempts together."""
    return Outcome(**{name: sum(vars(outcome)[name] for outcome in outcomes) for name in vars(outcomes[0])})


def _measurement(first: Poisoned, attempts: int, plain: Outcome, sanitized: Outcome | None) -> Measurement:
    shown = first.index[:PICTURES]
    none = first.data.pixels(slice(0, 0))
    return Measurement(
        samples=len(first.data),
        poisoned=len(first.index),
        attempts=attempts,
        plain=plain,
        sanitized=sanitized,
        x=first.data.pixels(shown).cpu(),
        before=first.before[:PICTURES].cpu(),
        label=first.data.y[shown].cpu(),
        target=(none if first.target is None else first.target).cpu(),
    )
