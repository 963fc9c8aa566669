"""One model of the job before the checklist: its figures, and what the items ask of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from workers.evaluation.checklist import ChecklistItem, Status
from workers.evaluation.inputs import ModelInfo, RunInfo, SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.rows import Row
from workers.evaluation.worst import within
from workers.threats import TOLERANCE

DIFFERENT = 1e-4
"""How far two outputs of unit length may be apart and still count as the same (arXiv:2003.01690)."""


@dataclass(frozen=True)
class Case:
    """A model with its rows and its samples."""

    given: SummaryInput
    model: ModelInfo
    rows: Sequence[Row]
    samples: ModelSamples

    def item(self, place: tuple[int, str, str], status: Status, text: str, value: float | None = None) -> ChecklistItem:
        """Make an item of this model; `place` is its point, key and title."""
        return ChecklistItem(*place, status=status, text=text, value=value, model=self.model.name)

    @cached_property
    def table(self) -> list[RunInfo]:
        """The untargeted runs of the table, in the order of the spec."""
        return [run for run in self.given.runs if run.curve is None and not run.targeted]

    @cached_property
    def ball(self) -> tuple[str, float] | None:
        """Norm and radius that the figures are about: the suite's, or the largest of the first norm with a limit."""
        if self.given.suite is not None:
            return self.given.suite.norm, self.given.suite.epsilon
        limited = [run for run in self.table if not run.no_limit]
        if not limited:
            return None
        norm = limited[0].norm
        return norm, max(run.epsilon for run in limited if run.norm == norm)

    @cached_property
    def inside(self) -> list[RunInfo]:
        """The runs of the table that say something of the ball."""
        if self.ball is None:
            return []
        norm, epsilon = self.ball
        return [run for run in self.table if run.norm == norm and (run.minimum or run.epsilon <= epsilon)]

    def broken(self, runs: Sequence[RunInfo]) -> Tensor:
        """Return the samples that any of some runs breaks inside the ball, (N,) bool."""
        assert self.ball is not None
        found = torch.zeros_like(self.samples.right)
        for run in runs:
            found = found | within(self.samples.runs[run.key], self.ball[1]).success
        return found

    def row(self, run: RunInfo) -> Row:
        """Return the row of a run."""
        return next(row for row in self.rows if row.run == run.key)

    def curves(self) -> Iterator[list[Row]]:
        """Yield the points of each curve by rising radius."""
        numbers = sorted({run.curve for run in self.given.runs if run.curve is not None})
        for number in numbers:
            keys = {run.key for run in self.given.runs if run.curve == number}
            yield sorted((row for row in self.rows if row.run in keys), key=lambda row: row.epsilon)

    @property
    def probed(self) -> int:
        """Samples that the probes looked at; 0 in a job without a suite."""
        return len(self.samples.probed)

    def probe(self, name: str) -> Tensor:
        """Return what was asked of the samples that were probed, (P,)."""
        return self.samples.probes[name]

    @cached_property
    def drawn(self) -> float:
        """How far two passes over one batch are apart at most."""
        return float(self.probe("twice").max()) if self.probed else 0.0

    @cached_property
    def mated(self) -> float:
        """How far the answers about one sample in two batches are apart at most."""
        return float(self.probe("mates").max()) if self.probed else 0.0

    @property
    def settled(self) -> bool:
        """Whether an answer depends on the sample alone, so that two of them can be compared."""
        return max(self.drawn, self.mated) <= DIFFERENT

    @property
    def grey(self) -> float:
        """The radius from which on every picture may be made grey all over."""
        values = math.prod(self.model.input_shape)
        norm = "linf" if self.ball is None else self.ball[0]
        return {"linf": 0.5, "l2": 0.5 * math.sqrt(values), "l1": 0.5 * values}.get(norm, math.inf)

    def held_inside(self, run: RunInfo) -> Tensor:
        """Return where a run's example lies inside its own ball, (N,) bool."""
        return self.samples.runs[run.key].distance <= run.epsilon + TOLERANCE * max(1.0, run.epsilon)


def no_suite(what: str) -> str:
    """Say how to have something done that only a suite does."""
    return f"{what} Not done: the job has no suite. `sparring evaluate --suite quick --epsilon E` asks for it."
