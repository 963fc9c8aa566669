"""The closing of a job: its shards put together into rows, files and warnings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from workers.evaluation.adversarial import AdversarialFile
from workers.evaluation.checklist import ChecklistItem
from workers.evaluation.checks import findings
from workers.evaluation.finding import Finding
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.merge import ModelSamples, merge
from workers.evaluation.metrics import broken_by, rows_of
from workers.evaluation.page.markdown import render_markdown
from workers.evaluation.page.render import render
from workers.evaluation.points import points
from workers.evaluation.proof import added
from workers.evaluation.rows import Row
from workers.evaluation.verdicts import pack_verdicts

FORMAT = "sparring.metrics/1"


@dataclass(frozen=True)
class Summary:
    """What a job leaves behind.

    rows: by model in the order of the job: clean, the table, worst cases, curves. adversarial: the file of the whole
    selection but for its pictures, None unless the job is an attack. report_html, report_md, metrics_json, verdicts:
    the files, of which the last has what each row says of each sample. warnings: plain sentences, errors first.
    checked: adversarial examples that were examined, over models and runs; violations: how many of them failed in each
    of the ways of `proof.KINDS`. checklist: the fourteen points of an evaluation.
    """

    rows: tuple[Row, ...]
    adversarial: AdversarialFile | None
    report_html: str
    metrics_json: str
    verdicts: bytes
    report_md: str
    warnings: tuple[str, ...]
    checked: int
    violations: tuple[int, ...]
    checklist: tuple[ChecklistItem, ...] = ()


def summarize(given: SummaryInput) -> Summary:
    """Put a job's shards together; ValueError where they are not the job's, Rejected where they are no numbers."""
    samples = merge(given)
    rows = [row for model, one in zip(given.models, samples, strict=True) for row in rows_of(model, one, given.runs)]
    given = replace(given, checklist=points(given, rows, samples))
    found = findings(given, rows, samples)
    runs = [run for one in samples for run in one.runs.values()]
    return Summary(
        rows=tuple(rows),
        adversarial=_adversarial(given, samples[0]) if given.kind == "attack" else None,
        report_html=render(given, rows, found, samples),
        metrics_json=_metrics(given, rows, found, samples),
        verdicts=pack_verdicts(given, rows, samples),
        report_md=render_markdown(given, rows, found, samples),
        warnings=tuple(f"Error: {one.text}" if one.level == "error" else one.text for one in found),
        checked=sum(len(run.prediction) for run in runs),
        violations=added([run.violations for run in runs]),
        checklist=tuple(given.checklist),
    )


def _adversarial(given: SummaryInput, samples: ModelSamples) -> AdversarialFile:
    """Return the file of the adversarial examples of the one run, but for its pictures."""
    run = samples.runs[given.runs[0].key]
    columns = {
        "index": samples.clean.index,
        "label": samples.clean.label,
        "clean_prediction": samples.clean.prediction,
        "prediction": run.prediction,
        "confidence": run.confidence,
        "success": run.success,
        "distance": run.distance,
        "target": run.target,
    }
    return AdversarialFile(columns, (given.data.count, *given.models[0].input_shape))


def _metrics(
    given: SummaryInput, rows: Sequence[Row], found: Sequence[Finding], samples: Sequence[ModelSamples]
) -> str:
    """Write rows, warnings and the checklist as strict JSON, with everything that they depend on."""
    document = {
        "format": FORMAT,
        "job": given.job,
        "kind": given.kind,
        "title": given.title,
        "seed": given.seed,
        "command": given.command,
        "data": asdict(given.data),
        "models": [asdict(model) for model in given.models],
        "runs": [{**vars(run), "parameters": dict(run.parameters)} for run in given.runs],
        "rows": [asdict(row) for row in rows],
        "warnings": [{"level": finding.level, "text": finding.text} for finding in found],
        "provenance": dict(given.provenance),
        "checklist": [asdict(item) for item in given.checklist],
    }
    if given.kind == "evaluation":
        pairs = zip(given.models, samples, strict=True)
        document["examples"] = [{"model": model.name, "broken_by": broken_by(given, one)} for model, one in pairs]
    if given.suite is not None:
        document["suite"] = asdict(given.suite)
    if given.course is not None:
        document["training"] = asdict(given.course)
    return json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1) + "\n"
