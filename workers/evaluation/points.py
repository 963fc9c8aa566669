"""The checklist of a job: all fourteen points, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workers.evaluation import beyond, subject
from workers.evaluation.case import Case
from workers.evaluation.checklist import ChecklistItem
from workers.evaluation.flags import flags
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.rechecks import rechecks
from workers.evaluation.rows import Row
from workers.evaluation.sanity import sanity


def points(given: SummaryInput, rows: Sequence[Row], samples: Sequence[ModelSamples]) -> list[ChecklistItem]:
    """Return the items by point, each point model by model; none of a job that is no evaluation.

    `samples` are the per-sample results of each model, in the order of the job.
    """
    if given.kind != "evaluation":
        return []
    found = [subject.threat(given), beyond.adaptive(given), beyond.reproduction(given), beyond.training(given)]
    for model, one in zip(given.models, samples, strict=True):
        found += _of_model(Case(given, model, [row for row in rows if row.model == model.name], one))
    return sorted(found, key=lambda item: item.point)


def _of_model(case: Case) -> Iterator[ChecklistItem]:
    raised = list(flags(case))
    yield subject.identity(case)
    yield subject.clean(case)
    yield from subject.worst(case)
    yield from subject.course(case)
    yield from sanity(case)
    yield from rechecks(case)
    yield from raised
    yield from beyond.special(case, raised)
    yield from beyond.transfer(case)
    yield from beyond.broader(case)
    yield beyond.robustbench(case, raised)
