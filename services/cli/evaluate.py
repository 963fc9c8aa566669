"""`sparring evaluate`."""

from __future__ import annotations

from typing import Any

import click
from sparring import submit, values
from sparring.v1.jobs_pb2 import Execution
from sparring.v1.suites_pb2 import Suite

from services.cli import fields, options, waiting

_EXAMPLE = """
\b
sparring evaluate --dataset mnist10k --model plain --model hardened \\
    --attack fgsm:epsilon=0.25 --curve bim:steps=20@0,0.1,0.2,0.3 --wait
sparring evaluate hardened --dataset mnist10k --suite quick --epsilon 0.1 --wait
"""
_LEVELS = {name.removeprefix("LEVEL_").lower(): number for name, number in Suite.Level.items() if number}


@click.command(epilog=_EXAMPLE)
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option("--model", "models", multiple=True, metavar="NAME", help="A model; may be repeated.")
@options.dataset
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    metavar="NAME[:FLAG=VALUE,...]",
    help="An attack, e.g. bim:epsilon=0.3,steps=20,target=random; may be repeated.",
)
@click.option(
    "--curve",
    "curves",
    multiple=True,
    metavar="NAME[:FLAG=VALUE,...]@EPSILON,...",
    help="Accuracy against epsilon, e.g. bim:steps=20@0,0.05,0.1; may be repeated.",
)
@click.option(
    "--suite",
    type=click.Choice(list(_LEVELS)),
    help="Attacks, a curve and probes that belong together, at --epsilon; --attack and --curve add to them.",
)
@click.option("--norm", type=click.Choice(["linf", "l2", "l1"]), help="Of the suite's ball; default linf.")
@click.option("--epsilon", metavar="NUMBER", help="Radius of the suite's ball, e.g. 0.1 or 8/255.")
@click.option("--adapted", metavar="WORDS", help="What was adapted to the models' defenses, for the report.")
@click.option("--knows", metavar="WORDS", help="What of the defense the attacker knows, for the report.")
@options.selection
@fields.options(Execution.DESCRIPTOR)
@options.submission
def evaluate(server: str, *, as_json: bool, wait: bool, **given: Any) -> int:
    """Compare models under several attacks, in one table and one report."""
    models = (*given.pop("names"), *given.pop("models"))
    if not models:
        raise click.UsageError("Name a model, e.g. `sparring evaluate my-model --dataset mnist10k ...`.")
    suite = {name: given.pop(name) for name in ("suite", "norm", "epsilon")}
    words = {"adapted": given.pop("adapted"), "knowledge": given.pop("knows")}
    request = submit.evaluate(models, given.pop("dataset"), given.pop("attacks"), **given)
    _check(**suite)
    if suite["suite"] is not None:
        values.fill([request.evaluation.suite], {"level": suite.pop("suite"), **suite})
    if any(words.values()):
        values.fill([request.evaluation.adaptive], words)
    return waiting.submit(server, request, wait=wait, as_json=as_json)


def _check(*, suite: str | None, norm: str | None, epsilon: str | None) -> None:
    """Refuse a ball without a suite, and a suite without a ball."""
    if suite is None and (norm is not None or epsilon is not None):
        raise click.UsageError("--norm and --epsilon are the suite's; add --suite, or give them to an --attack.")
    if suite is not None and epsilon is None:
        raise click.UsageError(f"--suite {suite} needs --epsilon, the radius of its ball, e.g. --epsilon 0.1.")
