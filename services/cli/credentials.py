"""`sparring credentials`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from services.cli import output

if TYPE_CHECKING:
    from services.cli.authority import Issued

# A DNS name, perhaps with a wildcard in front, or the beginnings of an address; also what a file name may be.
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_CLIENT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


def _matching(pattern: re.Pattern[str], what: str) -> Any:
    def check(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if pattern.fullmatch(value) is None:
                raise click.BadParameter(f"{value!r} is not {what}")
        return values

    return check


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    callback=_matching(_HOST, "a host's name or address"),
    help="A name or address under which clients reach the gateway; may be repeated.",
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME",
    callback=_matching(_CLIENT, "a client's name: letters, digits, '.', '_' and '-', at most 64"),
    help="Also a certificate for this client; may be repeated.",
)
@click.option("--days", type=click.IntRange(1, 36500), default=365, help="Validity of certificates; default 365.")
@click.option(
    "--ca-days", type=click.IntRange(1, 36500), default=3650, help="Validity of a new authority; default 3650."
)
def credentials(folder: Path, hosts: tuple[str, ...], clients: tuple[str, ...], days: int, ca_days: int) -> None:
    """Make certificates for TLS, of an authority of your own that is kept in DIR.

    The authority is made at the first time and used again after that, so that certificates can be renewed and clients
    be added: a gateway takes a new certificate up without a restart. Guard DIR/ca-key.pem; only this command needs it.
    """
    if not hosts and not clients:
        raise click.UsageError("say for whom: --host NAME for the gateway, --client NAME for a client")
    from services.cli.authority import Authority

    try:
        authority = Authority(folder, days=ca_days)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if authority.is_new:
        output.note(f"A new authority: {authority.files.certificate}. Guard {authority.files.key}.")
    if hosts:
        _gateway(authority.server(hosts, days=days), authority.files, with_clients=bool(clients))
    output.line("# for clients")
    output.line(f"SPARRING_CA_FILE={authority.files.certificate}")
    for name in clients:
        made = authority.client(name, days=days)
        output.line(f'# for the client {name}; in the file of tenants: certificate = "{name}"')
        output.line(f"SPARRING_CERT_FILE={made.certificate}")
        output.line(f"SPARRING_CERT_KEY_FILE={made.key}")


def _gateway(made: Issued, authority: Issued, *, with_clients: bool) -> None:
    output.line("# for the gateway")
    output.line(f"SPARRING_TLS_CERT_FILE={made.certificate}")
    output.line(f"SPARRING_TLS_KEY_FILE={made.key}")
    if with_clients:
        output.line(f"SPARRING_TLS_CLIENT_CA_FILE={authority.certificate}")
