"""What each attack adds to those before it: the worst case, built up in the order of the job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workers.evaluation import words
from workers.evaluation.page.tables import Line, ModelTable
from workers.evaluation.proportions import Proportion, wilson


@dataclass(frozen=True)
class Stage:
    """One attack after those before it: what it leaves alone, how many samples it turned first, what all leave.

    inside: it is a stage of an ensemble, whose own line comes before; of such only `first` is known.
    """

    attack: str
    alone: Proportion | None
    first: int
    left: Proportion | None
    inside: bool = False


@dataclass(frozen=True)
class Staircase:
    """The stages of one model in one norm, from clean on."""

    model: str
    norm: str
    clean: Proportion
    stages: tuple[Stage, ...]


def staircases(tables: list[ModelTable]) -> list[Staircase]:
    """Return the stages of each model and norm in which more than one attack, or an ensemble, was run."""
    found = []
    for table in tables:
        lines = [line for line in table.lines if not line.worst and not line.targeted]
        for norm in dict.fromkeys(line.row.norm for line in lines):
            here = [line for line in lines if line.row.norm == norm]
            stages = tuple(_stages(table, here))
            if len(stages) > 1:
                found.append(Staircase(table.name, words.NORMS[norm], table.clean.clean_accuracy, stages))
    return found


def _stages(table: ModelTable, lines: list[Line]) -> Iterator[Stage]:
    clean = table.clean.clean_accuracy
    left = clean.count
    for line in lines:
        left -= line.row.broken_first
        attack = f"{line.attack}, {line.radius}"
        yield Stage(attack, line.row.robust_accuracy, line.row.broken_first, wilson(left, clean.of))
        for name, first in line.row.stages:
            yield Stage(words.method_name(name), None, first, None, inside=True)
