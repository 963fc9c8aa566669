"""`sparring leaderboard`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from services.cli import options, output, sheets, words
from services.cli.connection import connected

if TYPE_CHECKING:
    from sparring.client import Client
    from sparring.standings import Board, Standing
    from sparring.v1.jobs_pb2 import Job


_BOUND = "Each figure is an upper bound: a stronger attack may leave less. A weaker suite makes a milder figure."


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--jobs",
    "--filter",
    "condition",
    metavar="FILTER",
    help='Jobs of the service, e.g. "kind = evaluation"; "" for all.',
)
@click.option("--limit", type=click.IntRange(1), default=200, metavar="N", help="The newest N of them; default 200.")
@click.option(
    "--reports",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Download the reports of the service's jobs there, and link to them.",
)
@sheets.flags
@options.common
def leaderboard(
    server: str,
    folder: Path | None,
    condition: str | None,
    limit: int,
    reports: Path | None,
    *,
    html: Path | None,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Rank models by their worst-case robust accuracy, one table for each threat model.

    FOLDER holds results: what `sparring artifacts download JOB --output FOLDER` leaves, or jobs as
    `sparring jobs get JOB --json` prints them. With --jobs, the service's own jobs are ranked.
    """
    from sparring import standings

    from services.cli import kept

    if (folder is None) == (condition is None):
        raise click.UsageError('give a FOLDER of results, or --jobs FILTER, e.g. --jobs "kind = evaluation"')
    if folder is not None:
        found = kept.jobs_in(folder)
    else:
        with connected(server) as client:
            found = list(_served(client, str(condition), limit, reports))
    ranked = standings.boards(found)
    for path, form in ((html, sheets.html), (markdown, sheets.markdown)):
        if path is not None:
            sheets.write(path, form(_sheet(ranked, len(found), path.parent)))
    if as_json:
        output.data({"boards": [board.as_dict() for board in ranked]})
    else:
        output.show(sheets.terminal(_sheet(ranked, len(found), None)))


def _served(client: Client, condition: str, limit: int, reports: Path | None) -> Iterator[tuple[Job, Path | None]]:
    """The jobs of the service, whole, with their reports where those are wanted."""
    for listed in itertools.islice(client.jobs.list(condition, page_size=min(limit, 1000)), limit):
        if listed.state != listed.STATE_SUCCEEDED or listed.WhichOneof("spec") not in {"attack", "evaluation"}:
            continue
        job, path = client.jobs.get(listed), None
        held = [item for item in job.result.artifacts if item.role == "report"]
        if reports is not None and held:
            reports.mkdir(parents=True, exist_ok=True)
            path = client.artifacts.download(held[0], reports / f"{job.name.rpartition('/')[2]}-report.html")
        yield job, path


def _sheet(ranked: Sequence[Board], jobs: int, beside: Path | None) -> sheets.Sheet:
    """The boards as tables, with links relative to the folder `beside`; None for a terminal, which is narrow."""
    made = [table for board in ranked for table in _tables(board, beside)]
    lead = f"Of {jobs} jobs." if made else "No attack or evaluation that succeeded was found."
    told = [] if beside is not None else [_told(one) for board in ranked for one in board.standings]
    notes = (*dict.fromkeys(told), _BOUND) if made else ()
    return sheets.Sheet(title="Robustness leaderboard", lead=lead, tables=made, notes=notes)


def _tables(board: Board, beside: Path | None) -> Iterator[sheets.Table]:
    figures = ("#", "Robust", "95 %", "Clean", "95 % of it")
    radius = words.radius(board.epsilon, board.norm)
    yield sheets.Table(
        title=f"{radius}, {board.samples} (n {board.standings[0].n})",
        columns=("#", "Model", "Robust", "95 %", "Clean", "95 % of it", "Attacked with", "Flags"),
        rows=[_row(one) for one in board.standings],
        right=frozenset(figures),
    )
    if beside is None:
        return
    yield sheets.Table(
        title=f"{radius}: where the figures come from",
        columns=("#", "Model", "Defense", "Weakest against", "Job", "Report"),
        rows=[_origin(one, beside) for one in board.standings],
        right=frozenset({"#"}),
    )


def _row(one: Standing) -> tuple[sheets.Cell, ...]:
    shares = [text for share in (one.robust, one.clean) for text in _share(share)]
    return (str(one.rank), one.model, *shares, one.suite, ", ".join(one.flags))


def _share(share: tuple[float, float, float]) -> tuple[str, str]:
    value, low, high = share
    return words.percent(value), f"{100 * low:.1f} - {100 * high:.1f}"


def _origin(one: Standing, beside: Path) -> tuple[sheets.Cell, ...]:
    """Where a figure comes from, as cells."""
    report = sheets.Link("report", quote(os.path.relpath(one.report, beside))) if one.report else ""
    return (str(one.rank), one.model, one.defense, one.weakest, _jobs(one), report)


def _told(one: Standing) -> str:
    """The same in a sentence."""
    defense = f" ({one.defense})" if one.defense else ""
    report = f"; report: {one.report}" if one.report else ""
    return f"{one.model}{defense}, weakest against {one.weakest}: {_jobs(one)}{report}"


def _jobs(one: Standing) -> str:
    return f"{one.jobs[0]}{f' and {len(one.jobs) - 1} more' if len(one.jobs) > 1 else ''}"
