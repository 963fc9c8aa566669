"""Jobs and their results as tables that fit 80 columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from sparring import contract
from sparring.v1.jobs_pb2 import Job, JobResult, Limits, PoisoningRow, ResultRow

from services.cli import words


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table with a ruled head; columns named in `right` hold figures."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def facts(pairs: Iterable[tuple[str, str]]) -> Table:
    """Names and values, one pair a line; empty values are left out."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            made.add_row(Text(name, style="dim"), Text(value))
    return made


def bare(name: str) -> str:
    """A resource's name without its collection."""
    return name.rpartition("/")[2]


def jobs(listed: Iterable[Job]) -> Table:
    """A list of jobs."""
    made = table("Job", "Kind", "State", "Done", "Created", "Display name", right=["Done"])
    for item in listed:
        made.add_row(
            Text(bare(item.name)),
            str(item.WhichOneof("spec")),
            words.state(item),
            f"{100 * item.progress.fraction:.0f} %",
            words.moment(item.create_time)[5:16],
            Text(item.display_name),
        )
    return made


def job(shown: Job) -> RenderableType:
    """One job in full: what was asked, where it stands, what came of it."""
    parts: list[RenderableType] = [facts(_head(shown))]
    if shown.HasField("result"):
        parts.extend(_result(shown.name, shown.result))
    if shown.finished_units:
        parts.append(Text(f"Get what was finished: sparring artifacts download {shown.name}"))
    return Group(*parts)


def _head(shown: Job) -> Iterator[tuple[str, str]]:
    yield "job", shown.name or "not created: the request was only checked, and it is right"
    yield "display name", shown.display_name
    if shown.name:
        why = shown.waiting.message if shown.HasField("waiting") else shown.error.message
        yield "state", f"{words.state(shown)}: {why}" if why else words.state(shown)
    if shown.state == Job.STATE_RUNNING:
        yield "progress", words.progress(shown.progress)
    if shown.finished_units:
        samples = sum(unit.count for unit in shown.finished_units)
        yield "finished", f"{len(shown.finished_units)} of {shown.resolution.units} units, {samples} samples"
    yield "after", ", ".join(shown.after)
    yield "limits", _limits(shown.limits)
    if shown.HasField("end_time") and shown.HasField("start_time"):
        yield "took", words.duration(_seconds(shown.end_time) - _seconds(shown.start_time))
    yield from _asked(shown)
    yield "trace", shown.trace


def _seconds(time: Timestamp) -> float:
    return time.seconds + time.nanos / 1e9


def _asked(shown: Job) -> Iterator[tuple[str, str]]:
    """What the job was asked to do, defaults filled in."""
    kind = shown.WhichOneof("spec")
    if kind is None:
        return
    spec: Any = getattr(shown, kind)
    if kind == "attack":
        yield "model", spec.model
        yield "attack", words.attack(spec.attack)
    elif kind == "training":
        defense = str(spec.defense.WhichOneof("kind"))
        yield "architecture", spec.architecture
        yield "from", spec.initial_model
        yield "defense", f"{defense} {words.parameters(getattr(spec.defense, defense))}"
        yield "optimization", words.parameters(spec.optimization)
        if spec.validation.held_out or spec.validation.overfitting_drop:
            yield "validation", words.parameters(spec.validation)
    elif kind == "evaluation":
        yield "models", ", ".join(spec.models)
        yield "attacks", "\n".join(words.attack(made) for made in spec.attacks)
    elif kind == "poisoning":
        poison = str(spec.poison.WhichOneof("kind"))
        yield "architecture", spec.architecture
        yield "poison", f"{poison} {words.parameters(getattr(spec.poison, poison))}"
        yield "optimization", words.parameters(spec.optimization)
        yield "fitting", words.parameters(spec.fitting)
    if kind != "intake":
        yield "data", words.parameters(spec.data)
        yield "seed", str(spec.seed)
    yield "units", str(shown.resolution.units) if shown.resolution.units else ""


def _limits(limits: Limits) -> str:
    deadline = f"ends after {words.duration(limits.deadline_seconds)}" if limits.HasField("deadline_seconds") else ""
    queue = f"waits {words.duration(limits.queue_seconds)} at most" if limits.HasField("queue_seconds") else ""
    return ", ".join(filter(None, (deadline, queue)))


def _result(name: str, result: JobResult) -> Iterator[RenderableType]:
    for title, rows in itertools.groupby(result.rows, key=_title):
        yield ""
        yield Text(title, style="bold")
        yield _rows(rows)
    if result.poisoning_rows:
        yield ""
        yield _poisoned(result.poisoning_rows)
    yield ""
    yield facts(
        [
            ("model", result.model),
            *(("distance", f"{row.attack}: {words.distance(row)}") for row in result.rows if _looks_for_shortest(row)),
            *(("queries", f"{row.attack}: {row.queries / row.n:,.0f} a sample") for row in result.rows if row.queries),
            *(("warning", warning) for warning in result.warnings),
            ("warning", _unsound(result.rows)),
            *(("file", f"{item.role}: {item.filename}, {words.size(item.size_bytes)}") for item in result.artifacts),
        ]
    )
    if result.artifacts:
        yield Text(f"Get the files: sparring artifacts download {name}")


def _looks_for_shortest(row: ResultRow) -> bool:
    """Whether a row is of an attack whose figure is the distance, and has one."""
    kind = row.parameters.WhichOneof("kind")
    method = None if kind is None else getattr(row.parameters, kind).DESCRIPTOR
    return method is not None and contract.method(method).minimum and row.max_distance > 0 and not row.curve


def _title(row: ResultRow) -> str:
    trained = f", trained with {row.defense}" if row.defense else ""
    return f"{bare(row.model)}{trained}{': accuracy against epsilon' if row.curve else ''}"


def _unsound(rows: Iterable[ResultRow]) -> str:
    violations = sum(row.violations for row in rows)
    if violations == 0:
        return ""
    return f"{violations} adversarial examples failed the check of ball, range, label or type; trust no figure of it"


def _poisoned(rows: Iterable[PoisoningRow]) -> Table:
    """What each poisoned fraction did; columns that nothing is in are left out."""
    rows = list(rows)
    sanitized = any(row.HasField("sanitized_error") for row in rows)
    triggered = any(row.HasField("trigger_rate") for row in rows)
    columns = ["Poisoned", "of", "Error", "95 %"]
    columns += ["Sanitized"] * sanitized + ["Fires"] * triggered + ["Fires then"] * (sanitized and triggered)
    made = table("Fraction", *columns, right=("Fraction", *columns))
    for row in rows:
        cells = [words.percent(row.fraction), str(row.poisoned), str(row.samples)]
        cells += [words.percent(row.error.value), words.interval(row.error)]
        cells += [words.percent(row.sanitized_error.value)] * sanitized
        cells += [words.percent(row.trigger_rate.value)] * triggered
        cells += [words.percent(row.sanitized_trigger_rate.value)] * (sanitized and triggered)
        made.add_row(*cells)
    return made


def _rows(rows: Iterable[ResultRow]) -> Table:
    """A model's results. Robust accuracy has its 95 % interval beside it; points of a curve come as they are."""
    figures = ("Epsilon", "n", "Clean", "Robust", "95 %", "Turned")
    made = table("Attack", *figures, right=figures)
    # The same width for each model, so that their figures stand below each other.
    made.columns[0].min_width = len("iterative_least_likely")
    for row in rows:
        made.add_row(
            Text(row.attack),
            "" if row.attack == "clean" else words.epsilon(row.epsilon, row.norm),
            str(row.n),
            words.percent(row.clean_accuracy.value),
            words.percent(row.robust_accuracy.value),
            words.interval(row.robust_accuracy),
            words.percent(row.success_rate.value),
        )
    return made
