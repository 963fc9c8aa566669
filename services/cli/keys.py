"""`sparring keys ...`: keys for the file of tenants; nothing here talks to a service."""

from __future__ import annotations

import fcntl
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from services.cli import output
from services.tenants import keys as texts

ROLES = ("read", "submit", "admin")


def _name(_: click.Context, __: click.Parameter, value: str) -> str:
    if not texts.is_name(value):
        raise click.BadParameter(f"{value!r} is not {texts.NAME_RULE}")
    return value


@click.group()
def keys() -> None:
    """Make keys, and hash them as the gateway's file of tenants holds them."""


@keys.command()
@click.option("--tenant", required=True, metavar="NAME", callback=_name, help="Whose key it is.")
@click.option("--id", "key_id", required=True, metavar="NAME", callback=_name, help="The key's own id, e.g. ci.")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What it may do.")
@click.option("--days", type=click.IntRange(1, 36500), metavar="N", help="Days that it is valid; left out, for ever.")
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of tenants to add it to; made if it is not there. Left out, what to add is printed on stderr.",
)
def new(tenant: str, key_id: str, role: str, days: int | None, path: Path | None) -> None:
    """Make a key and print it, this once: only its hash is kept.

    A gateway takes up what was added to its file within seconds.
    """
    key = texts.new_key(key_id)
    lines = [f"[[tenants.{tenant}.keys]]", f'id = "{key_id}"', f'sha256 = "{texts.hash_key(key)}"', f'role = "{role}"']
    if days is not None:
        lines.append(f"expires = {datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}")
    entry = "\n".join(lines) + "\n"
    if path is None:
        output.note(f"Add this to the file of tenants:\n\n{entry}")
    else:
        _add(path, entry)
        output.note(f"Added key {key_id} of tenant {tenant} to {path}.")
    output.note("The key, shown this once; keep it in a file that only you can read:")
    output.line(key)


@keys.command("hash")
def hash_() -> None:
    """Read a key on stdin and print its hash, as the file of tenants holds it."""
    if sys.stdin.isatty():
        output.note("Type or paste the key, then press Enter:")
    key = sys.stdin.readline().strip()
    if not key:
        raise click.UsageError("there is no key on stdin; for example: sparring keys hash < key.txt")
    output.line(texts.hash_key(key))


def _add(path: Path, entry: str) -> None:
    """Add text at the end of a file of tenants, if the whole reads well then; what stands there is left as it is.

    The file stays the same one, with its owner and its mode, as the gateway may be another user.
    """
    from services.tenants import parse

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise click.ClickException(f"can't write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = file.read().decode()
        try:
            if before.strip():
                parse.parse(before)
            added = ("\n" if before.endswith("\n") else "\n\n") + entry if before.strip() else entry
            parse.parse(before + added)
        except parse.TenantsFileError as error:
            raise click.ClickException(f"{path} is left as it was: {error}") from error
        file.write(added.encode())
