"""The page as a whole: what goes into the template, and the template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from workers.evaluation import words
from workers.evaluation.finding import Finding
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.page import telling
from workers.evaluation.page.course import course_plot
from workers.evaluation.page.epsilon import epsilon_plots
from workers.evaluation.page.pictures import galleries
from workers.evaluation.page.points import STATES, points, totals
from workers.evaluation.page.portraits import PORTRAITS, maps, portraits
from workers.evaluation.page.stages import staircases
from workers.evaluation.page.tables import ABREAST, CLASSES, class_tables, model_tables
from workers.evaluation.papers import used
from workers.evaluation.rows import Row
from workers.evaluation.shard import PICTURES

COARSE = 64
"""Pixels along the longer side below which a picture is shown with its pixels sharp."""


def render(
    given: SummaryInput,
    rows: Sequence[Row],
    found: Sequence[Finding],
    samples: Sequence[ModelSamples],
) -> str:
    """Return the report as one HTML file; whatever came from a client is escaped by the template.

    Measured: 0.68 MB for four nets on mnist10k under four attacks and a curve; pictures take at most some ten more.
    """
    tables = model_tables(given, rows)
    placed = maps(given, samples)
    table = [run for run in given.runs if run.curve is None]
    subject = telling.subject(given)
    return (
        environment()
        .get_template("report.html")
        .render(
            given=given,
            title=subject if given.title == "" else given.title,
            subject=subject,
            findings=found,
            points=points(given.checklist),
            states=STATES,
            totals=totals(given.checklist),
            tables=tables,
            staircases=staircases(tables),
            labels=words.labels(table, given.runs),
            attacks=table,
            curves=telling.curves(given.runs),
            goals=list(dict.fromkeys(words.goal(run) for run in given.runs)),
            knows=telling.knows(given.runs),
            queried=any(run.knowledge != "gradients" for run in given.runs),
            threat=telling.threat(given.runs),
            threats=telling.threats(given.runs),
            bounds=telling.bounds(given.runs),
            untargeted=any(not run.targeted for run in given.runs),
            targeted=any(run.targeted for run in given.runs),
            coarse=max(given.models[0].input_shape[1:]) < COARSE,
            plots=epsilon_plots(given, rows),
            course_plot=None if given.course is None else course_plot(given.course),
            portraits=portraits(given, samples),
            most_portraits=PORTRAITS,
            maps=placed,
            galleries=galleries(given, samples),
            class_tables=class_tables(given, tables, samples),
            verify=telling.verify(given.job),
            papers=used(telling.papers(given, found, mapped=bool(placed))),
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
