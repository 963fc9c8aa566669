"""`sparring attacks`, `defenses`, `poisons`, `architectures` and `info`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from services.cli import listings, options, output
from services.cli.connection import connected

if TYPE_CHECKING:
    from sparring.v1.catalog_pb2 import MethodInfo


def _show(found: Sequence[MethodInfo], name: str | None, *, as_json: bool) -> None:
    """Show all methods, or the one that is named."""
    known = {method.name: method for method in found}
    if name is None:
        output.result(found, listings.methods, as_json=as_json)
        return
    name = name.replace("-", "_")
    if name not in known:
        raise click.UsageError(f"there is no {name!r}; known are: {', '.join(known)}")
    output.result(known[name], listings.method, as_json=as_json)


@click.command()
@click.argument("name", required=False)
@options.common
def attacks(server: str, name: str | None, *, as_json: bool) -> None:
    """Show the attacks of the service, or one attack with its parameters."""
    with connected(server) as client:
        found = client.catalog.attacks()
    _show(found, name, as_json=as_json)


@click.command()
@click.argument("name", required=False)
@options.common
def defenses(server: str, name: str | None, *, as_json: bool) -> None:
    """Show the defenses of the service, or one defense with its parameters."""
    with connected(server) as client:
        found = client.catalog.defenses()
    _show(found, name, as_json=as_json)


@click.command()
@click.argument("name", required=False)
@options.common
def poisons(server: str, name: str | None, *, as_json: bool) -> None:
    """Show the poisons of the service, or one poison with its parameters."""
    with connected(server) as client:
        found = client.catalog.poisons()
    _show(found, name, as_json=as_json)


@click.command()
@options.common
def architectures(server: str, *, as_json: bool) -> None:
    """Show the architectures that models can have."""
    with connected(server) as client:
        found = client.catalog.architectures()
    output.result(found, listings.architectures, as_json=as_json)


@click.command()
@options.common
def info(server: str, *, as_json: bool) -> None:
    """Show the service's version, limits and workers."""
    with connected(server) as client:
        found = client.catalog.info()
    output.result(found, listings.info, as_json=as_json)
