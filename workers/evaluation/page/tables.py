"""What the page's tables show: rows picked out, named and ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from workers.evaluation import words
from workers.evaluation.inputs import ModelInfo, RunInfo, SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.page.pictures import class_name
from workers.evaluation.rows import CLEAN, WORST_CASE, Row

CLASSES = 20
"""Classes that a table of classes shows at most: the worst."""

ABREAST = 4
"""Models that stand side by side in one table."""


Shares = tuple[float, float | None]
"""Clean and robust accuracy of one class of one model."""


@dataclass(frozen=True)
class Line:
    """A row with its attack in words, its radius in words, and whether it is a worst case."""

    row: Row
    attack: str
    radius: str
    norm: str
    targeted: bool
    worst: bool


@dataclass(frozen=True)
class ModelTable:
    """Everything about one model: its clean row, the lines of the table and of the curves, its headlines by norm."""

    name: str
    info: ModelInfo
    defense: str
    clean: Row
    lines: tuple[Line, ...]
    points: tuple[Line, ...]
    headlines: tuple[Line, ...]


@dataclass(frozen=True)
class ClassTable:
    """Robust accuracy of each class under the headline attack; `lines` are (class, samples, shares of each model)."""

    models: tuple[tuple[str, str], ...]
    lines: tuple[tuple[str, int, tuple[Shares, ...]], ...]
    left_out: int


def model_tables(given: SummaryInput, rows: Sequence[Row]) -> list[ModelTable]:
    """Return one `ModelTable` for each model, in the order of the job."""
    runs = {run.key: run for run in given.runs}
    table = words.labels([run for run in given.runs if run.curve is None], given.runs)
    curves = words.labels([run for run in given.runs if run.curve is not None], given.runs)
    tables = []
    for model in given.models:
        own = [row for row in rows if row.model == model.name]
        lines = tuple(_line(row, runs, table) for row in own if row.attack != CLEAN and not row.curve)
        points = tuple(_line(row, runs, curves) for row in own if row.curve)
        clean = next(row for row in own if row.attack == CLEAN)
        defense = words.defense_name(model.defense)
        headlines = tuple(_headlines(lines, points))
        tables.append(ModelTable(words.short(model.name), model, defense, clean, lines, points, headlines))
    return tables


def class_tables(
    given: SummaryInput, tables: Sequence[ModelTable], samples: Sequence[ModelSamples]
) -> list[ClassTable]:
    """Return the tables of classes, a few models each, each class with its number of samples."""
    held = torch.bincount(samples[0].clean.label, minlength=given.models[0].classes).tolist()
    found = []
    for start in range(0, len(tables), ABREAST):
        group = [table for table in tables[start : start + ABREAST] if table.headlines]
        shares = {label: tuple(_shares(table, label) for table in group) for label, n in enumerate(held) if n}
        worst = sorted(shares, key=lambda label: _mean(shares[label]))[:CLASSES]
        lines = tuple((class_name(given.data, label), held[label], shares[label]) for label in _order(worst, shares))
        heads = tuple((table.name, f"{table.headlines[0].attack}, {table.headlines[0].norm}") for table in group)
        if group:
            found.append(ClassTable(heads, lines, len(shares) - len(lines)))
    return found


def _order(worst: list[int], shares: Mapping[int, object]) -> list[int]:
    """Keep the order of the labels where all are shown, else begin with the worst."""
    return sorted(worst) if len(worst) == len(shares) else worst


def _line(row: Row, runs: dict[str, RunInfo], labels: dict[str, str]) -> Line:
    if row.attack == WORST_CASE:
        name, targeted = f"Worst of {len(row.worst_of)} attacks", False
    else:
        name, targeted = labels[row.run], runs[row.run].targeted
    norm = f"{words.NORMS[row.norm]} {words.radius(row.norm, row.epsilon)}"
    return Line(row, name, words.radius(row.norm, row.epsilon), norm, targeted, row.attack == WORST_CASE)


def _headlines(lines: Sequence[Line], points: Sequence[Line]) -> list[Line]:
    """Return for each norm the line that speaks for a model.

    That is the worst case at the largest epsilon, or the only untargeted attack; where the table has none, the
    targeted attack that hits most; where it has nothing at all, the last point of a curve. What holds without a limit
    speaks only where nothing has one: every model can be turned by some change.
    """
    untargeted = [line for line in lines if not line.targeted]
    pool = untargeted or list(lines) or list(points)
    found = []
    for norm in dict.fromkeys(line.row.norm for line in pool):
        here = [line for line in pool if line.row.norm == norm]
        limited = [line for line in here if not words.unlimited(norm, line.row.epsilon)]
        best = max(limited or here, key=lambda line: (line.worst, line.row.epsilon, -line.row.robust_accuracy.value))
        found.append(best)
    return found


def _shares(table: ModelTable, label: int) -> Shares:
    clean = table.clean.class_robust_accuracy[label]
    assert clean is not None  # only classes with samples are asked for
    return clean, table.headlines[0].row.class_robust_accuracy[label]


def _mean(shares: Sequence[Shares]) -> float:
    """Return the mean robust accuracy of a class; a class that no goal counts comes after all others."""
    known = [robust for _, robust in shares if robust is not None]
    return sum(known) / len(known) if known else 2.0
