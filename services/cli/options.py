"""Flags that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from services.cli import connection

F = TypeVar("F", bound=Callable[..., Any])


class Whole(click.ParamType[int]):
    """A whole number from 0 to `largest`."""

    name = "N"

    def __init__(self, largest: int) -> None:
        self.largest = largest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it, or fail."""
        from sparring import values

        try:
            return values.whole(value, 0, self.largest)
        except ValueError as error:
            self.fail(str(error), param, ctx)


COUNT = Whole(2**63 - 1)


class Numbers(click.ParamType[list[float]]):
    """Numbers with commas between them, e.g. one for each channel."""

    name = "NUMBER,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[float]:
        """Read them all, or fail; a default comes as a sequence already."""
        from sparring import values

        if not isinstance(value, str):
            return list(value)
        try:
            return [values.number(part) for part in value.split(",")]
        except ValueError as error:
            self.fail(str(error), param, ctx)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, and nothing else there.")
wait = click.option("--wait", is_flag=True, help="Wait for the job's end and show its progress, then its result.")
check = click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until a worker has checked it.")
etag = click.option("--etag", default="", help="Only if the job still has this etag.")

# Required, so first in every help text.
dataset = click.option("--dataset", required=True, metavar="NAME", help="The dataset; see `sparring datasets list`.")

_SELECTION = (
    click.option("--split", default="", metavar="NAME", help="The dataset's part, e.g. test."),
    click.option("--offset", type=COUNT, default=0, help="First sample."),
    click.option("--count", type=COUNT, default=0, help="Number of samples; 0: all from the offset on."),
    click.option(
        "--seed",
        type=Whole(2**64 - 1),
        default=0,
        help="Seed of everything random; default 0.",
    ),
)
_SUBMISSION = (
    click.option("--display-name", default="", metavar="WORDS", help="Your own words for the job."),
    click.option(
        "--request-id",
        default="",
        metavar="UUID",
        help="Your id for the request; the same id again answers with the same job.",
    ),
    click.option(
        "--deadline",
        "deadline_s",
        metavar="SECONDS",
        help="End the job as FAILED if it has not ended after so long; left out, no limit.",
    ),
    click.option(
        "--queue-limit",
        "queue_limit_s",
        metavar="SECONDS",
        help="End it as FAILED if no worker has taken it after so long; left out, no limit.",
    ),
    click.option(
        "--after",
        multiple=True,
        metavar="JOB",
        help="A job that has to succeed before this one runs; may be repeated.",
    ),
    click.option("--reuse", is_flag=True, help="Where the same has been computed already, answer with that job."),
    click.option("--validate-only", is_flag=True, help="Check and resolve only; nothing is queued."),
    wait,
    as_json,
    *connection.FLAGS,
)


def _apply(function: F, decorators: tuple[Callable[[F], F], ...]) -> F:
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def common(function: F) -> F:
    """`--json`, and where the service is and who asks."""
    return _apply(function, (as_json, *connection.FLAGS))


def selection(function: F) -> F:
    """Which samples, and the seed."""
    return _apply(function, _SELECTION)


def submission(function: F) -> F:
    """How a job is submitted, and what is shown of it."""
    return _apply(function, _SUBMISSION)
