"""Who stands where: models by the accuracy that no attack took from them, one board for each threat model.

A board is one norm, one radius and one set of samples; figures of different boards say nothing about each other. What
counts for a model is the worst case over the attacks of its job; where it was evaluated more than once, the lowest
figure, since every attack gives an upper bound only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparring.comparison import CLEAN, WORST_CASE, described, norm_of
from sparring.radii import NO_LIMIT
from sparring.v1.jobs_pb2 import Job, Proportion, ResolvedData, ResultRow
from sparring.v1.suites_pb2 import ChecklistItem, Suite

MASKED = 7  # the point of the checklist that masked gradients belong to
# Attacks with a target of their own: their figure is how often they miss it, and no accuracy.
_AIMED = frozenset({"iterative_least_likely"})


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A model on a board. rank: from 1; equal figures share one. robust, clean: shares as [value, low, high].

    suite: "quick", "standard" or "thorough", or the attacks where it was none. weakest: the attack under which least is
    left by itself. flags: why the figure may not be believed. jobs: it was evaluated in, the one that counts first.
    """

    rank: int
    model: str
    defense: str
    robust: tuple[float, float, float]
    clean: tuple[float, float, float]
    n: int
    suite: str
    weakest: str
    flags: tuple[str, ...]
    jobs: tuple[str, ...]
    report: str


@dataclass(frozen=True, kw_only=True)
class Board:
    """Standings under one threat model, the most robust first. samples: the data in words."""

    norm: str
    epsilon: float
    samples: str
    standings: tuple[Standing, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        return asdict(self)


@dataclass(frozen=True)
class _Entry:
    row: ResultRow
    clean: Proportion
    job: Job
    report: Path | None


def boards(jobs: Iterable[tuple[Job, Path | None]]) -> list[Board]:
    """Return every board that the attacks and evaluations among the jobs make, in the order of the jobs."""
    found: dict[tuple[Any, ...], dict[str, list[_Entry]]] = {}
    samples: dict[tuple[Any, ...], str] = {}
    for job, report in jobs:
        if job.WhichOneof("spec") not in {"attack", "evaluation"} or job.state != Job.STATE_SUCCEEDED:
            continue
        weights = {model.name: model.weights_sha256 for model in job.resolution.models}
        for entry in _entries(job, report):
            key = (norm_of(entry.row), entry.row.epsilon, *_data(job.resolution.data))
            samples[key] = described(job.resolution.data)
            who = weights.get(entry.row.model, "") or entry.row.model
            found.setdefault(key, {}).setdefault(who, []).append(entry)
    return [
        Board(norm=key[0], epsilon=key[1], samples=samples[key], standings=tuple(_ranked(models.values())))
        for key, models in found.items()
    ]


def _data(data: ResolvedData) -> tuple[Any, ...]:
    return data.dataset, data.split, data.offset, data.count, data.images_sha256


def _entries(job: Job, report: Path | None) -> Iterator[_Entry]:
    """Yield what each model of a job has to show in each ball."""
    for model in dict.fromkeys(row.model for row in job.result.rows):
        clean = clean_row(job, model)
        for row in headlines(job, model):
            yield _Entry(row, row.clean_accuracy if clean is None else clean.robust_accuracy, job, report)


def clean_row(job: Job, model: str) -> ResultRow | None:
    """Return a model's row without an attack."""
    return next((row for row in job.result.rows if row.model == model and row.attack == CLEAN), None)


def headlines(job: Job, model: str) -> list[ResultRow]:
    """Return what counts for a model in each ball: the worst case, or else the attack that leaves least."""
    best: dict[tuple[int, float], ResultRow] = {}
    for row in (row for row in job.result.rows if row.model == model and _counts(row)):
        ball = row.norm, row.epsilon
        if ball not in best or _worse(row, best[ball]):
            best[ball] = row
    return list(best.values())


def _counts(row: ResultRow) -> bool:
    """Whether a row is of untargeted attacks in a ball."""
    if row.curve or row.attack == CLEAN or row.attack in _AIMED or row.epsilon >= NO_LIMIT.get(row.norm, 0.0):
        return False
    return row.parameters.goal.WhichOneof("kind") != "targeted"


def _worse(row: ResultRow, other: ResultRow) -> bool:
    """A worst case counts before the attacks that it is over; of those, the one that leaves least."""
    if WORST_CASE in {row.attack, other.attack}:
        return row.attack == WORST_CASE
    return row.robust_accuracy.value < other.robust_accuracy.value


def _ranked(models: Iterable[list[_Entry]]) -> Iterator[Standing]:
    lowest = [sorted(entries, key=lambda entry: entry.row.robust_accuracy.value) for entries in models]
    lowest.sort(key=lambda entries: (*_figures(entries[0]), entries[0].row.model))
    rank = 0
    for place, entries in enumerate(lowest, start=1):
        if place == 1 or _figures(entries[0]) != _figures(lowest[place - 2][0]):
            rank = place
        yield _standing(rank, entries)


def _figures(entry: _Entry) -> tuple[float, float]:
    """The more robust first; of equals, the one that is right more often when nobody attacks."""
    return -entry.row.robust_accuracy.value, -entry.clean.value


def _standing(rank: int, entries: list[_Entry]) -> Standing:
    first = entries[0]
    row, job = first.row, first.job
    return Standing(
        rank=rank,
        model=row.model.rpartition("/")[2],
        defense=row.defense,
        robust=(row.robust_accuracy.value, row.robust_accuracy.low, row.robust_accuracy.high),
        clean=(first.clean.value, first.clean.low, first.clean.high),
        n=row.n,
        suite=_suite(job, row),
        weakest=weakest(job, row),
        flags=tuple(flags(job, row.model)),
        jobs=tuple(dict.fromkeys(entry.job.name for entry in entries)),
        report="" if first.report is None else str(first.report),
    )


def _suite(job: Job, row: ResultRow) -> str:
    """What it was attacked with: the suite of this ball, or the names of the attacks in it."""
    suite = job.evaluation.suite
    if suite.level and (suite.norm, suite.epsilon) == (row.norm, row.epsilon):
        return Suite.Level.Name(suite.level).removeprefix("LEVEL_").lower()
    return ", ".join(dict.fromkeys(one.attack for one in _inside(job, row)))


def _inside(job: Job, row: ResultRow) -> list[ResultRow]:
    """The attacks of the table in the ball of a row, on its model."""
    own = (one for one in job.result.rows if one.model == row.model and one.attack != WORST_CASE and _counts(one))
    return [one for one in own if one.norm == row.norm and one.epsilon <= row.epsilon]


def weakest(job: Job, row: ResultRow) -> str:
    """Name the attack in a row's ball under which least is left of the row's model."""
    inside = _inside(job, row)
    return min(inside, key=lambda one: one.robust_accuracy.value).attack if inside else row.attack


def flags(job: Job, model: str) -> Iterator[str]:
    """Say in a few words each why a model's figures may not be believed."""
    yield from dict.fromkeys(_flag(item) for item in failed(job, model))
    if any(row.violations for row in job.result.rows if row.model == model):
        yield "violations"


def failed(job: Job, model: str) -> list[ChecklistItem]:
    """Return the items of a job's checklist that FAIL, of one model and of the job as a whole."""
    return [
        item for item in job.result.checklist if item.status == ChecklistItem.STATUS_FAIL and item.model in {"", model}
    ]


def _flag(item: ChecklistItem) -> str:
    return "masking suspected" if item.point == MASKED else item.title.lower()
