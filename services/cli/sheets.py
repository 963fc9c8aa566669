"""Tables for a terminal, as Markdown, or as one HTML page: what `compare` and `leaderboard` show.

A row of one cell is a heading of the rows below it. Text comes from clients and is escaped wherever it goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from services.cli import output

if TYPE_CHECKING:
    from rich.console import RenderableType

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)
_FLAGS = (
    click.option("--html", type=_FILE, metavar="FILE", help="Write it as one HTML page too."),
    click.option("--markdown", type=_FILE, metavar="FILE", help="Write it as Markdown too."),
)


@dataclass(frozen=True)
class Link:
    """A cell that leads somewhere: a file beside the page, as a relative path."""

    text: str
    target: str


Cell = str | Link


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; the columns named in `right` hold figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    right: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A title, a sentence, tables, and what a reader must know."""

    title: str
    lead: str
    tables: Sequence[Table]
    notes: Sequence[str] = field(default_factory=tuple)


def terminal(sheet: Sheet) -> RenderableType:
    """For people at a terminal, 80 columns wide where that can be."""
    from rich.console import Group
    from rich.text import Text

    from services.cli import tables

    parts: list[RenderableType] = [Text(sheet.title, style="bold"), Text(sheet.lead)]
    for table in sheet.tables:
        made = tables.table(*table.columns, right=tuple(table.right))
        for row in table.rows:
            heading = len(row) == 1
            made.add_row(*(Text(_text(cell), style="bold" if heading else "") for cell in row))
        parts += ["", Text(table.title, style="bold"), made]
    if sheet.notes:
        parts += ["", tables.facts([("note", note) for note in sheet.notes])]
    return Group(*parts)


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text


def markdown(sheet: Sheet) -> str:
    """As Markdown with GitHub's tables, e.g. for the summary of a CI job."""
    lines = [f"# {_escaped(sheet.title)}", "", _escaped(sheet.lead)]
    for table in sheet.tables:
        rules = ["---:" if column in table.right else "---" for column in table.columns]
        lines += ["", f"## {_escaped(table.title)}", "", _row(table.columns), _row(rules)]
        lines += [_row(_padded([_marked(cell) for cell in row], len(table.columns))) for row in table.rows]
    if sheet.notes:
        lines += ["", *(f"- {_escaped(note)}" for note in sheet.notes)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _padded(cells: list[str], width: int) -> list[str]:
    """A heading is written bold in the first column, the others of its row are empty."""
    return [f"**{cells[0]}**", *[""] * (width - 1)] if len(cells) == 1 < width else cells


def _marked(cell: Cell) -> str:
    return _escaped(cell) if isinstance(cell, str) else f"[{_escaped(cell.text)}](<{cell.target}>)"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", " ".join(text.split()))


def html(sheet: Sheet) -> str:
    """As one page that needs nothing beside it, for light and dark and for a phone."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("services.cli", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("sheet.html").render(sheet=sheet)


def flags(function: F) -> F:
    """`--html` and `--markdown`, the files that a sheet is written to."""
    for flag in reversed(_FLAGS):
        function = flag(function)
    return function


def write(path: Path, content: str) -> None:
    """Write one of the two forms; raises OSError where that can't be done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    output.note(f"written to {path}")
