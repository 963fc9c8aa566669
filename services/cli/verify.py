"""`sparring verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from services.cli import options, output
from services.cli.connection import connected
from services.cli.failures import FAILED

if TYPE_CHECKING:
    from rich.console import RenderableType
    from sparring.verification import Verification


@click.command()
@click.argument("job")
@click.option(
    "--units", type=click.IntRange(0), default=1, metavar="N", help="Units to run again, drawn at random; default 1."
)
@click.option("--retrain", is_flag=True, help="Run a training again, which takes as long as it took.")
@options.common
def verify(server: str, job: str, units: int, *, retrain: bool, as_json: bool) -> int:
    """Check a job's result against its manifest, and run some of it again; exit code 0 if nothing is wrong.

    Every file is downloaded and its SHA-256 compared. Jobs that this makes are deleted afterwards.
    """
    from sparring.verification import verify as check

    with connected(server) as client:
        verified = check(client, job, units=units, retrain=retrain, on_step=lambda step: output.note(f"{step} ..."))
    if as_json:
        output.data(verified.as_dict())
    else:
        output.show(_table(verified))
        output.line(_conclusion(verified))
    return 0 if verified.ok else FAILED


def _table(verified: Verification) -> RenderableType:
    from rich.text import Text

    from services.cli.tables import table

    made = table("Check", "Outcome", "Found")
    for check in verified.checks:
        made.add_row(Text(check.what), check.outcome, Text(check.found))
    return made


def _conclusion(verified: Verification) -> str:
    lines = [f"This server is not as the one that made it. {difference}" for difference in verified.differences]
    wrong = sum(check.outcome == "failed" for check in verified.checks)
    if verified.ok:
        lines.append(f"{verified.job} is what its manifest says.")
    else:
        lines.append(f"{verified.job} is NOT verified: {wrong} of {len(verified.checks)} checks failed.")
    if not verified.ok and verified.differences:
        lines.append("Equal bytes are promised on the same kind of worker only; see the differences above.")
    return "\n".join(lines)
