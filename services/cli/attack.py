"""`sparring attack NAME`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from google.protobuf.descriptor import Descriptor
from sparring import contract, submit
from sparring.v1.attacks_pb2 import Attack
from sparring.v1.jobs_pb2 import Execution

from services.cli import fields, options, waiting

F = TypeVar("F", bound=Callable[..., Any])


def _target(message: Descriptor) -> Callable[[F], F]:
    """`--target`, for the methods that can be given one."""
    method = contract.method(message)
    if not method.targeted:
        return lambda function: function
    wanted = "The class that the model should answer with"
    return click.option(
        "--target",
        metavar="[LABEL|random|least-likely|each]",
        required=method.needs_target,
        help=f"{wanted}." if method.needs_target else f"{wanted}; left out, any wrong one.",
    )


def _command(name: str, message: Descriptor) -> click.Command:
    @click.command(name)
    @click.option("--model", required=True, metavar="NAME", help="The model, or jobs/ID of the training that makes it.")
    @options.dataset
    @fields.options(message)
    @_target(message)
    @options.selection
    @fields.options(Execution.DESCRIPTOR)
    @options.submission
    def command(server: str, *, as_json: bool, wait: bool, **given: Any) -> int:
        request = submit.attack(given.pop("model"), given.pop("dataset"), name, **given)
        return waiting.submit(server, request, wait=wait, as_json=as_json)

    return command


attack = fields.MethodGroup(
    Attack.DESCRIPTOR,
    _command,
    name="attack",
    help="Attack a model with one method. `sparring attack NAME --help` shows what the method takes.",
)
