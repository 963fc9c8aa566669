"""`sparring gate`: pass or fail a model by its worst-case robust accuracy, for CI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from sparring import values
from sparring.errors import ServiceError

from services.cli import embedded, failures, options, output
from services.cli.connection import connected

if TYPE_CHECKING:
    from sparring.client import Client

    from services.cli.gating import Asked, Judged

F = TypeVar("F", bound=Callable[..., Any])

_EXAMPLE = """
\b
sparring gate --model my-net --dataset mnist10k --min-robust 0.8 --epsilon 0.1
sparring gate --local --model net.safetensors --architecture wong_cnn \\
    --dataset mnist10k --min-robust 0.8 --epsilon 0.1 --junit gate.xml

Exit codes: 0 passed; 1 did not pass, with the reason; 2 bad arguments,
3 the service can't be reached, 4 it could not be judged, 130 interrupted.
"""

_OUT = click.Path(dir_okay=False, path_type=Path)


class Number(click.ParamType[float]):
    """A number, written like 0.1 or 8/255."""

    name = "NUMBER"

    def __init__(self, smallest: float = 0.0, largest: float = 1.0) -> None:
        self.smallest, self.largest = smallest, largest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it, or fail."""
        try:
            number = values.number(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not self.smallest <= number <= self.largest:
            self.fail(f"{number:g} is not in [{self.smallest:g}, {self.largest:g}]", param, ctx)
        return number


_FLAGS = (
    click.option(
        "--model", required=True, metavar="NAME|FILE", help="A model's name, or a file of weights with --architecture."
    ),
    options.dataset,
    click.option(
        "--suite",
        type=click.Choice(["quick", "standard", "thorough"]),
        default="quick",
        show_default=True,
        help="How much is tried.",
    ),
    click.option(
        "--norm", type=click.Choice(["linf", "l2", "l1"]), default="linf", show_default=True, help="The ball's."
    ),
    click.option("--epsilon", type=Number(0.0, 1000.0), required=True, help="Radius of the ball, e.g. 0.1 or 8/255."),
    click.option("--min-robust", type=Number(), help="The least worst-case robust accuracy, 0 to 1."),
    click.option("--min-clean", type=Number(), help="The least clean accuracy, 0 to 1."),
    click.option("--max-drop", type=Number(), help="The most that it may be less robust than --baseline, 0 to 1."),
    click.option("--baseline", metavar="JOB", help="An evaluation with the same suite on the same samples."),
    click.option(
        "--confident", is_flag=True, help="The worse end of the 95 % interval decides, and not the figure itself."
    ),
    click.option("--allow-flags", is_flag=True, help="Tell what fails in the checklist, and let the model pass."),
    click.option("--split", default="", metavar="NAME", help="The dataset's part; left out, test."),
    click.option("--offset", type=options.COUNT, default=0, help="First sample."),
    click.option("--samples", type=options.COUNT, default=500, help="Number of samples; default 500, 0 for all."),
    click.option("--seed", type=options.Whole(2**64 - 1), default=0, help="Seed of everything random; default 0."),
    click.option("--architecture", default="", metavar="NAME", help="Of a file: see `sparring architectures`."),
    click.option("--mean", type=options.Numbers(), default=(), help="Of a file: per channel, subtracted first."),
    click.option("--std", type=options.Numbers(), default=(), help="Of a file: per channel, divided by after that."),
    click.option("--component", metavar="SPEC", help="Of a file: what stands around the network, if anything."),
    click.option("--junit", type=_OUT, metavar="FILE", help="Write the outcomes as JUnit XML."),
    click.option("--markdown", type=_OUT, metavar="FILE", help="Write them as Markdown, e.g. $GITHUB_STEP_SUMMARY."),
    click.option("--report", type=_OUT, metavar="FILE", help="Download the HTML report of the evaluation there."),
    click.option(
        "--deadline",
        "deadline_s",
        type=Number(1.0, 31536000.0),
        metavar="SECONDS",
        help="End the evaluation as FAILED if it has not ended after so long; left out, no limit.",
    ),
    click.option("--local", is_flag=True, help="Start a service on this machine for this run, whatever --server says."),
    click.option("--workers", type=click.IntRange(1), default=2, help="Of --local: worker processes; default 2."),
    click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Of --local: where models and jobs are kept; left out, nothing is.",
    ),
)


def _flags(function: F) -> F:
    for flag in reversed(_FLAGS):
        function = flag(function)
    return function


@click.command(epilog=_EXAMPLE)
@_flags
@options.common
def gate(server: str, *, local: bool, workers: int, data_dir: Path | None, as_json: bool, **given: Any) -> int:
    """Pass or fail a model by what a suite of attacks leaves of it.

    What counts is the worst case over the attacks, sample by sample, and the checklist of the report: where it says
    that the figures can't be believed, the model does not pass.
    """
    from services.cli import gating, junit

    asked = gating.Asked(**given)
    asked.check()
    place = embedded.service(workers, data_dir) if local else connected(server)
    try:
        judged = _judged(place, asked)
    except (ServiceError, OSError, LookupError, embedded.NoService) as error:
        if asked.junit is not None:
            junit.write_error(asked.junit, str(error), about=asked.about)
        if isinstance(error, embedded.NoService):
            raise
        return _not_judged(error)
    if judged is None:
        return failures.INTERRUPTED
    _show(judged, as_json=as_json)
    return 0 if judged.passed else failures.FAILED


def _judged(place: AbstractContextManager[Client], asked: Asked) -> Judged | None:
    from services.cli import gating

    with place as client:
        return gating.judged(client, asked)


def _not_judged(error: ServiceError | OSError | LookupError) -> int:
    """Say why, and give an exit code that is not that of a model which did not pass."""
    if not isinstance(error, ServiceError | OSError):
        output.note(f"sparring: {error}")
        return failures.UNJUDGED
    code = failures.report(error)
    return failures.UNJUDGED if code == failures.FAILED else code


def _show(judged: Judged, *, as_json: bool) -> None:
    if as_json:
        output.data(judged.as_dict())
        return
    for line in _lines(judged):
        output.line(line)


def _lines(judged: Judged) -> Sequence[str]:
    """The criteria, what is wrong in the checklist, and the sentence that says it all."""
    shown = [one for one in judged.outcomes if one.group == "gate" or one.status != "passed"]
    told = [f"{one.status:>6}  {one.sentence}{f': {one.text}' if one.text else ''}" for one in shown]
    return [*told, judged.sentence]
