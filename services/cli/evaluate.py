"""`sparring evaluate`."""

from __future__ import annotations

from typing import Any

import click
from sparring import submit
from sparring.v1.jobs_pb2 import Execution

from services.cli import fields, options, waiting

_EXAMPLE = """
\b
sparring evaluate --dataset mnist10k --model plain --model hardened \\
    --attack fgsm:epsilon=0.25 --curve bim:steps=20@0,0.1,0.2,0.3 --wait
"""


@click.command(epilog=_EXAMPLE)
@click.option("--model", "models", multiple=True, required=True, metavar="NAME", help="A model; may be repeated.")
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
@options.selection
@fields.options(Execution.DESCRIPTOR)
@options.submission
def evaluate(server: str, *, as_json: bool, wait: bool, **given: Any) -> int:
    """Compare models under several attacks, in one table and one report."""
    request = submit.evaluate(given.pop("models"), given.pop("dataset"), given.pop("attacks"), **given)
    return waiting.submit(server, request, wait=wait, as_json=as_json)
