"""`sparring whoami` and `sparring audit`."""

from __future__ import annotations

import itertools

import click

from services.cli import listings_tenant, options, output
from services.cli.connection import connected


@click.command()
@options.common
def whoami(server: str, *, as_json: bool) -> None:
    """Show who you are to the service: tenant, role, what you may use and what you do use."""
    with connected(server) as client:
        found = client.tenant()
    output.result(found, listings_tenant.tenant, as_json=as_json)


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="At most so many; default 50.")
@options.common
def audit(server: str, limit: int, *, as_json: bool) -> None:
    """Show what was changed for the tenant and what was refused, newest first; for admins."""
    with connected(server) as client:
        found = list(itertools.islice(client.audit(page_size=min(limit, 1000)), limit))
    output.result(found, listings_tenant.audit, as_json=as_json)
