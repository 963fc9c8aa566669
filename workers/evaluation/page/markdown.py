"""The report as Markdown: the same tables, warnings and checklist, without the pictures and plots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from workers.evaluation import words
from workers.evaluation.finding import Finding
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.page import telling
from workers.evaluation.page.points import STATES, points
from workers.evaluation.page.stages import staircases
from workers.evaluation.page.tables import ModelTable, class_tables, model_tables
from workers.evaluation.papers import used
from workers.evaluation.proportions import Proportion
from workers.evaluation.rows import Row


def render_markdown(
    given: SummaryInput, rows: Sequence[Row], found: Sequence[Finding], samples: Sequence[ModelSamples]
) -> str:
    """Return the report as one Markdown file; whatever came from a client is escaped."""
    tables = model_tables(given, rows)
    parts = [
        _head(given),
        _headline(given, tables),
        _warnings(found),
        _checklist(given),
        _accuracies(tables),
        _stages(tables),
        _curves(tables),
        _classes(given, tables, samples),
        _cost(tables),
        _sources(given, tables),
        _papers(given, found),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _head(given: SummaryInput) -> Iterator[str]:
    subject = telling.subject(given)
    yield f"# {text(subject if given.title == '' else given.title)}"
    yield ""
    data = given.data
    what = f"{text(data.dataset)}, {text(data.split)} split, {words.samples(data.count)} from number {data.offset} on"
    yield f"{text(subject)}. {what}; seed {given.seed}, job {text(words.short(given.job))}."
    yield ""
    threat = telling.threat(given.runs)
    if threat:
        yield from (text(threat), "")


def _headline(given: SummaryInput, tables: Sequence[ModelTable]) -> Iterator[str]:
    rows = []
    for table in tables:
        clean = _share(table.clean.clean_accuracy)
        for line in table.headlines or [None]:
            robust = ("–", "") if line is None else (_share(line.row.robust_accuracy), f"{line.attack}, {line.norm}")
            rows.append((table.name, table.defense, clean, *robust))
    heads = ("model", "defense", "clean accuracy", "robust accuracy", "under")
    yield from _table(heads, rows)
    yield "Shares of the samples, with 95 % Wilson score intervals."
    yield ""
    if given.course is not None:
        yield from _course(given)


def _course(given: SummaryInput) -> Iterator[str]:
    """Tell how the training went."""
    yield from ("## How it was trained", "")
    course = given.course
    assert course is not None
    shares = ("held_out_clean", "held_out_robust", "probe_clean", "probe_robust")
    rows = []
    for look in course.shown:
        told = ("–" if share is None else words.percent(share) for share in (getattr(look, name) for name in shares))
        note = "went back" if look.rolled_back else "selected" if look.epoch == course.selected else ""
        rows.append((str(look.epoch), words.number(look.loss), *told, note))
    heads = ("held out, clean", "held out, PGD", "learned from, clean", "learned from, PGD")
    yield from _table(("epoch", "loss", *heads, ""), rows)


def _warnings(found: Sequence[Finding]) -> Iterator[str]:
    if found:
        yield from ("## Warnings", "")
        yield from (f"- **{finding.level}**: {text(finding.text)}" for finding in found)
        yield ""


def _checklist(given: SummaryInput) -> Iterator[str]:
    told = points(given.checklist)
    if told:
        yield from ("## Checklist", "")
        rows = [
            (f"{point.number}. {point.title}", STATES[item.status], item.title, model, item.text)
            for point in told
            for item, model in point.items
        ]
        yield from _table(("point", "state", "asked", "model", "measured"), rows)


def _accuracies(tables: Sequence[ModelTable]) -> Iterator[str]:
    rows = [
        (
            table.name,
            line.attack,
            line.norm,
            _share(line.row.robust_accuracy),
            words.share(line.row.success_rate),
            words.percent(line.row.mean_confidence) if line.row.success_rate.count else "–",
            words.distance(line.row.median_distance) if line.row.success_rate.count else "–",
        )
        for table in tables
        for line in table.lines
    ]
    if rows:
        yield from ("## Robust accuracy", "")
        heads = ("robust accuracy", "success rate", "confidence when fooled", "median distance")
        yield from _table(("model", "attack", "radius", *heads), rows)


def _stages(tables: Sequence[ModelTable]) -> Iterator[str]:
    rows = []
    for stairs in staircases(list(tables)):
        for stage in stairs.stages:
            alone = "" if stage.alone is None else words.share(stage.alone)
            left = "" if stage.left is None else _share(stage.left)
            attack = f"… {stage.attack}" if stage.inside else stage.attack
            rows.append((stairs.model, stairs.norm, attack, alone, words.count(stage.first), left))
    if rows:
        yield from ("## Stage by stage", "")
        yield from _table(("model", "norm", "attack", "alone leaves", "turns first", "left after it"), rows)


def _curves(tables: Sequence[ModelTable]) -> Iterator[str]:
    rows = [
        (table.name, line.attack, line.norm, _share(line.row.robust_accuracy))
        for table in tables
        for line in table.points
    ]
    if rows:
        yield from ("## Accuracy against epsilon", "")
        yield from _table(("model", "attack", "radius", "robust accuracy"), rows)


def _classes(given: SummaryInput, tables: Sequence[ModelTable], samples: Sequence[ModelSamples]) -> Iterator[str]:
    for number, classes in enumerate(class_tables(given, tables, samples)):
        yield from () if number else ("## By class", "", "Clean, then robust accuracy.", "")
        heads = ("class", "samples", *(f"{name}, {under}" for name, under in classes.models))
        rows = [
            (label, words.count(n), *(_pair(clean, robust) for clean, robust in shares))
            for label, n, shares in classes.lines
        ]
        yield from _table(heads, rows)


def _pair(clean: float, robust: float | None) -> str:
    return "–" if robust is None else f"{words.percent(clean)}, {words.percent(robust)}"


def _cost(tables: Sequence[ModelTable]) -> Iterator[str]:
    rows = [
        (
            table.name,
            line.attack,
            line.norm,
            words.per_sample(line.row.forwards, line.row.n),
            words.per_sample(line.row.backwards, line.row.n),
            words.seconds(line.row.seconds) if line.row.seconds else "–",
            words.count(line.row.violations),
        )
        for table in tables
        for line in table.lines
    ]
    if rows:
        yield from ("## Cost", "")
        heads = ("forward passes per sample", "backward passes per sample", "compute", "violations")
        yield from _table(("model", "attack", "radius", *heads), rows)


def _sources(given: SummaryInput, tables: Sequence[ModelTable]) -> Iterator[str]:
    yield from ("## Where the figures come from", "")
    rows = [(f"weights of {table.name}", f"sha256:{table.info.weights_sha256}") for table in tables]
    if given.data.digest:
        rows.append(("data", f"sha256:{given.data.digest}"))
    yield from _table(("what", "value"), [*rows, *given.provenance.items()])
    if given.command:
        yield from ("Again:", "", *_code(given.command, "shell"))
    yield from ("Check:", "", *_code(telling.verify(given.job), "shell"))


def _papers(given: SummaryInput, found: Sequence[Finding]) -> Iterator[str]:
    yield from ("## Papers", "")
    entries = used(telling.papers(given, found, mapped=False))
    yield from _code("\n\n".join(paper.text for paper in entries), "bibtex")


def _share(proportion: Proportion) -> str:
    return f"{words.share(proportion)} ({words.interval(proportion)})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(text, heads))} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(text, row))} |"
    yield ""


def _code(content: str, language: str) -> Iterator[str]:
    """Fence a block so that nothing in it can end it."""
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}{language}", content, fence, "")


def text(words_of_somebody: str) -> str:
    """Escape what Markdown or HTML would take for more than words, and keep it on one line."""
    plain = re.sub(r"\s+", " ", words_of_somebody)
    return re.sub(r"([\\`*_\[\]<>|#~!])", r"\\\1", plain)
