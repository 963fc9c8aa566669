"""`sparring models ...`."""

from __future__ import annotations

import re
from typing import Any

import click

from services.cli import listings, options, output, progress
from services.cli.connection import connected


class Shape(click.ParamType[tuple[int, ...]]):
    """Channels, height and width: 1x28x28 or 1,28,28."""

    name = "CxHxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Read three whole numbers, or fail."""
        sides = re.fullmatch(r"(\d{1,9})[x,](\d{1,9})[x,](\d{1,9})", value)
        if sides is None:
            self.fail(f"{value!r} is not channels, height and width; write it like 1x28x28", param, ctx)
        return tuple(map(int, sides.groups()))


@click.group()
def models() -> None:
    """Upload, list, show and delete models."""


@models.command()
@click.argument("weights", type=click.Path(exists=True, dir_okay=False))
@click.option("--architecture", required=True, metavar="NAME", help="See `sparring architectures`.")
@click.option("--input-shape", type=Shape(), required=True, help="Channels, height, width, e.g. 1x28x28.")
@click.option("--classes", type=click.IntRange(2), metavar="N", required=True, help="Number of classes.")
@click.option("--mean", type=options.Numbers(), default=(), help="Per channel, subtracted by the first layer.")
@click.option("--std", type=options.Numbers(), default=(), help="Per channel, divided by after that.")
@click.option(
    "--component", metavar="SPEC", help="What stands around the network, if anything, e.g. noise:sigma=0.1,votes=4."
)
@click.option("--model-id", default="", metavar="ID", help="The id to be known under; left out, made from the digest.")
@options.check
@options.common
def upload(server: str, weights: str, *, as_json: bool, **given: Any) -> None:
    """Upload a safetensors file of WEIGHTS and have a worker check it."""
    with connected(server) as client, progress.Bytes("Uploading") as shown:
        made = client.models.upload(weights, on_progress=shown.report, **given)
    output.result(made, listings.model, as_json=as_json)


@models.command("list")
@options.common
def list_(server: str, *, as_json: bool) -> None:
    """List models, newest first."""
    with connected(server) as client:
        found = list(client.models.list())
    output.result(found, listings.models, as_json=as_json)


@models.command()
@click.argument("model")
@options.common
def get(server: str, model: str, *, as_json: bool) -> None:
    """Show a model."""
    with connected(server) as client:
        found = client.models.get(model)
    output.result(found, listings.model, as_json=as_json)


@models.command()
@click.argument("model")
@options.common
def delete(server: str, model: str, *, as_json: bool) -> None:
    """Forget a model."""
    with connected(server) as client:
        client.models.delete(model)
    output.deleted(model, as_json=as_json)
