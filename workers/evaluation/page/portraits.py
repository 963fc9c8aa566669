"""The models one by one: how sure each is, what it takes each class for, and where its features lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workers.evaluation import words
from workers.evaluation.headline import speaking, under_attack
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.page.answers import confidence_plot, confusion_plot
from workers.evaluation.page.canvas import Plot
from workers.evaluation.page.landscape import landscape_plot

PORTRAITS: Final = 6
"""Models that are drawn at most: the first of the job."""

MAPS: Final = 4
"""Maps of features at most: each takes a second."""


@dataclass(frozen=True)
class Portrait:
    """One model, what it was under, and its plots."""

    model: str
    under: str
    plots: tuple[Plot, ...]


def portraits(given: SummaryInput, samples: Sequence[ModelSamples]) -> list[Portrait]:
    """Return the answers of the first models of a job; none where the table has no attack."""
    group = speaking(given.runs)
    if group is None:
        return []
    told = f"{words.NORMS[group.norm]} {words.radius(group.norm, group.epsilon)}"
    under = f"the worst of {len(group.runs)} attacks" if len(group.runs) > 1 else words.attack_name(group.runs[0])
    found = []
    for place, (model, one) in enumerate(list(zip(given.models, samples, strict=True))[:PORTRAITS]):
        attacked = under_attack(group, one.runs)
        plots = (
            confidence_plot(f"confidence-{place}", one, attacked, f"{under}, {told}"),
            confusion_plot(f"confusion-{place}", given.data, one, attacked, model.classes),
        )
        found.append(Portrait(words.short(model.name), f"{under}, {told}", plots))
    return found


def maps(given: SummaryInput, samples: Sequence[ModelSamples]) -> list[tuple[str, Plot]]:
    """Return (model, map of its features) of the first models whose features were followed."""
    found: list[tuple[str, Plot]] = []
    for place, (model, one) in enumerate(zip(given.models, samples, strict=True)):
        followed = landscape_plot(f"map-{place}", given, model, one) if len(found) < MAPS else None
        if followed is not None:
            found.append((words.short(model.name), followed))
    return found
