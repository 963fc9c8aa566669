"""The page as a whole: what goes into the template, and the template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from workers.evaluation import words
from workers.evaluation.finding import Finding
from workers.evaluation.inputs import RunInfo, SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.page.charts import epsilon_charts
from workers.evaluation.page.course import course_chart
from workers.evaluation.page.pictures import galleries
from workers.evaluation.page.tables import ABREAST, CLASSES, class_tables, model_tables
from workers.evaluation.rows import Row
from workers.evaluation.shard import PICTURES

COARSE = 64
"""Pixels along the longer side below which a picture is shown with its pixels sharp."""

_BOUNDS = {
    "linf": "L∞ bounds the change of each pixel.",
    "l2": "L2 bounds the length of the change over all pixels.",
    "l1": "L1 bounds the sum of the changes of all pixels.",
    "l0": "L0 bounds the number of values that change.",
}

_WHITE_BOX = "The architecture, the weights and the gradients (white box), and the true label."
_LESS = {
    "scores": "ask the model for nothing but the scores of all classes",
    "labels": "ask the model for nothing but its answer",
}


def render(
    given: SummaryInput,
    rows: Sequence[Row],
    found: Sequence[Finding],
    samples: Sequence[ModelSamples],
) -> str:
    """Return the report as one HTML file; whatever came from a client is escaped by the template."""
    tables = model_tables(given, rows)
    return (
        environment()
        .get_template("report.html")
        .render(
            given=given,
            title=_subject(given) if given.title == "" else given.title,
            subject=_subject(given),
            findings=found,
            tables=tables,
            labels=words.labels([run for run in given.runs if run.curve is None], given.runs),
            attacks=[run for run in given.runs if run.curve is None],
            curves=_curves(given.runs),
            goals=list(dict.fromkeys(words.goal(run) for run in given.runs)),
            knows=_knows(given.runs),
            queried=any(run.knowledge != "gradients" for run in given.runs),
            threats=_threats(given.runs),
            bounds=" ".join(_BOUNDS[norm] for norm in dict.fromkeys(run.norm for run in given.runs)),
            untargeted=any(not run.targeted for run in given.runs),
            targeted=any(run.targeted for run in given.runs),
            coarse=max(given.models[0].input_shape[1:]) < COARSE,
            charts=epsilon_charts(given, rows),
            course_chart=None if given.course is None else course_chart(given.course),
            galleries=galleries(given, samples),
            class_tables=class_tables(given, tables, samples),
            papers=_papers(given, found),
            abreast=ABREAST,
            most_pictures=PICTURES,
            most_classes=CLASSES,
            words=words,
        )
    )


@cache
def environment() -> Environment:
    """Return the templates' environment: escaping on, undefined names an error."""
    return Environment(
        loader=PackageLoader("workers.evaluation.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _subject(given: SummaryInput) -> str:
    attacks = list(dict.fromkeys(words.attack_name(run) for run in given.runs))
    models = [words.short(model.name) for model in given.models]
    who = models[0] if len(models) == 1 else f"{len(models)} models"
    if not attacks:
        return f"{who}, judged clean"
    return f"{words.listed(attacks)} against {who}" if len(attacks) <= 4 else f"{len(attacks)} attacks on {who}"


def _knows(runs: Sequence[RunInfo]) -> str:
    """Return what the attacks know of the model, those that know less by their names."""
    parts = [_WHITE_BOX] if any(run.knowledge == "gradients" for run in runs) else []
    for knowledge, what in _LESS.items():
        named = list(dict.fromkeys(words.attack_name(run) for run in runs if run.knowledge == knowledge))
        if named:
            asks = what if len(named) > 1 else what.replace("ask", "asks", 1)
            parts.append(f"{words.listed(named)} {asks}.")
    return " ".join(parts)


def _threats(runs: Sequence[RunInfo]) -> list[str]:
    """Return each norm with its radii in words, those of curves by the largest."""
    found = []
    for norm in dict.fromkeys(run.norm for run in runs):
        here = [run for run in runs if run.norm == norm]
        radii = [words.radius(norm, epsilon) for epsilon in sorted({run.epsilon for run in here if run.curve is None})]
        largest = max((run.epsilon for run in here if run.curve is not None), default=None)
        if largest is not None:
            radii.append(f"curves up to {words.radius(norm, largest)}")
        found.append(f"{words.NORMS[norm]} {words.listed(radii)}")
    return found


def _curves(runs: Sequence[RunInfo]) -> list[tuple[str, RunInfo, list[float]]]:
    """Return each curve as its label, its first run and its radii by size."""
    labels = words.curve_labels(runs)
    heads = words.curve_heads(runs)
    return [
        (labels[number], head, sorted(run.epsilon for run in runs if run.curve == number))
        for number, head in heads.items()
    ]


def _papers(given: SummaryInput, found: Sequence[Finding]) -> list[tuple[str, str]]:
    """Return (arXiv id, citation) of the attacks, the defenses and the checks that this page used, once each."""
    named = [(run.paper, run.citation) for run in given.runs]
    named += [(model.paper, model.citation) for model in given.models]
    named += [paper for finding in found for paper in finding.papers]
    papers = dict(reversed([(paper.partition(" ")[0], citation) for paper, citation in named if paper]))
    return sorted(papers.items())
