"""What a poisoning leaves behind: its table, a page, figures as JSON, and words on how to read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from workers.evaluation import DataInfo, Proportion, words
from workers.evaluation.inputs import Parameter
from workers.evaluation.page import telling
from workers.evaluation.page.canvas import Plot
from workers.evaluation.page.lines import Axis, Line, line_plot, ticks_to
from workers.evaluation.page.pictures import class_name, png
from workers.evaluation.page.render import COARSE, environment
from workers.evaluation.papers import used
from workers.poisoning.measure import Measurement, Sanitizer
from workers.poisoning.rows import PoisoningRow, rows_of

FORMAT = "sparring.poisoning/1"
SANITIZERS = {"loss": "dropped by loss", "trimmed": "trimmed"}
# What a poison does beside errors, in words.
FIRES = {
    "backdoor": "triggered samples of other classes that are read as the trigger's",
    "feature_collision": "targets that are read as the base class",
}


@dataclass(frozen=True, kw_only=True)
class PoisoningInput:
    """Everything that `report` needs; `fractions`, `measured` and `seconds` in the order of the units.

    poison: as the field of `Poison` is named; title, summary, formula, differs, paper, citation: what the contract says
    of it. parameters: of the poison. learning: of the optimisation or the fit. data: learned from; judged: judged on.
    """

    poison: str
    title: str
    summary: str
    formula: str
    differs: str
    paper: str
    citation: str
    parameters: Mapping[str, Parameter]
    architecture: str
    learning: Mapping[str, Parameter]
    sanitizer: Sanitizer
    dropped_fraction: float | None
    data: DataInfo
    judged: DataInfo
    fractions: Sequence[float]
    measured: Sequence[Measurement]
    seconds: Sequence[float]
    seed: int
    job: str
    display_name: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class PoisoningReport:
    """The table and the files."""

    rows: tuple[PoisoningRow, ...]
    warnings: tuple[str, ...]
    report_html: str
    metrics_json: str


@dataclass(frozen=True)
class Sample:
    """A poison sample, what it was made from, and the label that it comes with."""

    before: str
    after: str
    label: str


def report(given: PoisoningInput) -> PoisoningReport:
    """Put the fractions of a job together."""
    rows = rows_of(given.fractions, given.measured, given.seconds)
    warnings = _warnings(given, rows)
    return PoisoningReport(tuple(rows), tuple(warnings), _page(given, rows, warnings), _metrics(given, rows, warnings))


def _warnings(given: PoisoningInput, rows: Sequence[PoisoningRow]) -> list[str]:
    found = []
    worst = max(rows, key=lambda row: row.error.value)
    if all(row.trigger_rate is None for row in rows) and worst.error.low <= rows[0].error.high:
        found.append("No fraction raised the error beyond its 95 % interval: this poison did no harm that can be told.")
    if given.sanitizer != "none" and given.dropped_fraction is None:
        found.append("The sanitizer was told how much is poison, which is the most that a defender could know.")
    return found


def _page(given: PoisoningInput, rows: Sequence[PoisoningRow], warnings: Sequence[str]) -> str:
    subject = f"{given.title} on {given.data.dataset}, {given.architecture}"
    samples, fraction, target = _samples(given)
    template = environment().get_template("poisoning.html")
    return template.render(
        given=given,
        title=subject if given.display_name == "" else given.display_name,
        subject=subject,
        rows=rows,
        warnings=warnings,
        plots=_plots(given, rows),
        sanitized=SANITIZERS.get(given.sanitizer, ""),
        fires=FIRES.get(given.poison, ""),
        papers=used([(given.paper, given.citation), telling.WILSON]),
        verify=telling.verify(given.job),
        tables=[],
        attacks=[],
        samples=samples,
        shown_fraction=fraction,
        target=target,
        coarse=max(given.measured[0].x.shape[-2:]) < COARSE,
        words=words,
    )


def _plots(given: PoisoningInput, rows: Sequence[PoisoningRow]) -> list[Plot]:
    """Error against the poisoned fraction, and how often the poison fires where it does something of its own."""
    plots = [_plot(given, rows, "error", "Error on clean samples", ("error", "sanitized_error"))]
    if any(row.trigger_rate is not None for row in rows):
        shares = ("trigger_rate", "sanitized_trigger_rate")
        plots.append(_plot(given, rows, "rate", FIRES[given.poison].capitalize(), shares))
    return plots


def _plot(given: PoisoningInput, rows: Sequence[PoisoningRow], what: str, caption: str, names: tuple[str, str]) -> Plot:
    lines = []
    for place, (name, label) in enumerate(
        zip(names, ("nobody sanitises", SANITIZERS.get(given.sanitizer)), strict=True)
    ):
        shares = _shares(rows, name)
        if shares and label is not None:
            points = tuple((fraction, share.value) for fraction, share in shares)
            band = tuple((share.low, share.high) for _, share in shares)
            lines.append(Line(label=label, series=place, points=points, band=band))
    top = max(given.fractions)
    axis_top = top if top > 0 else 0.1
    ticks = tuple((tick / 100, f"{tick:g} %") for tick in ticks_to(100 * axis_top))
    axis = Axis(0.0, axis_top, ticks, "poisoned samples, in parts of the clean ones")
    return line_plot(f"poison-{what}", lines, axis, caption=f"{caption} against the poisoned fraction")


def _shares(rows: Sequence[PoisoningRow], name: str) -> tuple[tuple[float, Proportion], ...]:
    found = ((row.fraction, vars(row)[name]) for row in rows)
    return tuple((fraction, share) for fraction, share in found if share is not None)


def _samples(given: PoisoningInput) -> tuple[list[Sample], float, str]:
    """The first poison samples of the smallest fraction that has most of them, that fraction, and the target."""
    most = max(len(one.x) for one in given.measured)
    place = next(place for place, one in enumerate(given.measured) if len(one.x) == most)
    one = given.measured[place]
    shown = zip(one.before, one.x, one.label.tolist(), strict=True)
    samples = [Sample(png(before), png(after), _label(given, label)) for before, after, label in shown]
    return samples, given.fractions[place], png(one.target[0]) if len(one.target) else ""


def _label(given: PoisoningInput, label: int) -> str:
    """The class that a poison sample is labelled as; of a duel, 1 is the attacking one."""
    own = int(given.parameters["attacking_label"]) if given.poison == "svm_gradient" else label
    return class_name(given.data, own)


def _metrics(given: PoisoningInput, rows: Sequence[PoisoningRow], warnings: Sequence[str]) -> str:
    """Write the table as strict JSON, with everything that it depends on."""
    document = {
        "format": FORMAT,
        "job": given.job,
        "kind": "poisoning",
        "title": given.display_name,
        "seed": given.seed,
        "command": given.command,
        "poison": {"name": given.poison, "parameters": dict(given.parameters)},
        "architecture": given.architecture,
        "learning": dict(given.learning),
        "sanitizer": given.sanitizer,
        "dropped_fraction": given.dropped_fraction,
        "data": asdict(given.data),
        "evaluation_data": asdict(given.judged),
        # Without the seconds, with which no two files of one poisoning would be the same.
        "rows": [{name: value for name, value in asdict(row).items() if name != "seconds"} for row in rows],
        "warnings": list(warnings),
        "provenance": dict(given.provenance),
    }
    return json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1) + "\n"
