"""`sparring compare`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sparring.v1.attacks_pb2 import Norm

from services.cli import options, output, sheets, words
from services.cli.connection import connected

if TYPE_CHECKING:
    from sparring.comparison import Comparison, Line
    from sparring.paired import Difference, Share

_METHOD = (
    "Difference: the robust accuracy minus that of the baseline on the same samples, in points, with the 95 % interval "
    "of Newcombe 1998, method 10, for paired proportions; p: McNemar's exact test. Nothing is corrected for how many "
    "lines there are: of many, a few have a small p by chance."
)


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@click.option("--baseline", default="", metavar="MODEL", help="Compare with this model; left out, the first one.")
@sheets.flags
@options.common
def compare(
    server: str, jobs: tuple[str, ...], *, baseline: str, html: Path | None, markdown: Path | None, as_json: bool
) -> None:
    """Put the models of attacks and evaluations side by side, with paired differences.

    The jobs must be on the same samples of the same data. A job with several models is compared in itself.
    """
    from sparring.comparison import compare as compared

    with connected(server) as client:
        found = compared(client, jobs, baseline=baseline)
    sheet = sheet_of(found)
    for path, form in ((html, sheets.html), (markdown, sheets.markdown)):
        if path is not None:
            sheets.write(path, form(sheet))
    if as_json:
        output.data(found.as_dict())
    else:
        output.show(sheets.terminal(sheet))


def sheet_of(found: Comparison) -> sheets.Sheet:
    """A comparison as a table: a heading for each attack and radius, and below it a row for each model."""
    rows: list[tuple[str, ...]] = []
    n = max((line.n for line in found.lines), default=0)
    headings = [_heading(line, n) for line in found.lines]
    for line, heading in zip(found.lines, headings, strict=True):
        alike = [other for other, its in zip(found.lines, headings, strict=True) if its == heading]
        rows.append((f"{heading}{_apart(line, alike)}",))
        for contender, share, apart in zip(found.contenders, line.shares, line.differences, strict=True):
            if share is not None:
                rows.append((contender.label, *_share(share), *_difference(apart)))
    figures = ("Robust", "95 %", "Difference", "95 % of it", "p")
    names = ", ".join(one.label for one in found.contenders)
    baseline = found.contenders[found.baseline].label
    return sheets.Sheet(
        title="Models compared",
        lead=f"{names}, on {found.samples} (n {n}); compared with {baseline}.",
        tables=[
            sheets.Table(title="Robust accuracy", columns=("Model", *figures), rows=rows, right=frozenset(figures))
        ],
        notes=tuple(_notes(found)),
    )


def _notes(found: Comparison) -> Iterator[str]:
    yield from found.notes
    yield _METHOD


def _heading(line: Line, n: int) -> str:
    """`pgd 0.1`, `ddn 1.5 (L2), curve`; with n where the line does not judge all samples."""
    radius = (
        "" if line.attack == "clean" else f" {words.epsilon(line.epsilon, Norm.Value(f'NORM_{line.norm.upper()}'))}"
    )
    return f"{line.attack}{radius}{', curve' if line.curve else ''}{'' if line.n == n else f', n {line.n}'}"


def _apart(line: Line, alike: Sequence[Line]) -> str:
    """What tells a line from those of the same heading: `, steps 40, restarts 2`."""
    own, others = _parameters(line), [_parameters(other) for other in alike]
    differing = [name for name in own if any(other.get(name) != own[name] for other in others)]
    return "".join(f", {name.replace('_', ' ')} {own[name]}" for name in differing)


def _parameters(line: Line) -> Mapping[str, Any]:
    """The parameters of a line's attack, and its goal among them."""
    found: dict[str, Any] = dict(line.parameters.get(line.attack, {}))
    goal = line.parameters.get("goal", {}).get("targeted")
    return found if goal is None else {**found, "target": " ".join(f"{kind}" for kind in goal)}


def _share(share: Share) -> tuple[str, str]:
    return words.percent(share.value), f"{100 * share.low:.1f} - {100 * share.high:.1f}"


def _difference(apart: Difference | None) -> tuple[str, str, str]:
    """`+3.2`, `+1.1 to +5.3`, `0.003`; nothing for the baseline itself."""
    if apart is None:
        return "", "", ""
    p_value = "<0.001" if apart.p_value < 0.001 else f"{apart.p_value:.3f}"
    return f"{100 * apart.value:+.1f}", f"{100 * apart.low:+.1f} to {100 * apart.high:+.1f}", p_value
