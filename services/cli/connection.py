"""The flags that say who asks and over what, and the connection that they lead to.

They are the same for every command that talks, so commands do not take them as arguments: they wait in click's context.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sparring.client import Client

F = TypeVar("F", bound=Callable[..., Any])

_PLACE = "services.cli.connection"


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    ctx.meta.setdefault(_PLACE, {})[param.name] = value


def _file(flag: str, variable: str, words: str) -> Callable[[F], F]:
    return click.option(
        flag,
        envvar=variable,
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        expose_value=False,
        callback=_keep,
        help=f"{words}; also ${variable}.",
    )


FLAGS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--server",
        envvar="SPARRING_SERVER",
        default="127.0.0.1:50051",
        show_default=True,
        metavar="HOST:PORT",
        help="Where the service is; also $SPARRING_SERVER.",
    ),
    # A key on the command line would be in the shell's history and in the list of processes.
    _file("--key-file", "SPARRING_KEY_FILE", "The file of your key, if it is not in $SPARRING_KEY"),
    click.option(
        "--tls", is_flag=True, expose_value=False, callback=_keep, help="Use TLS, with the system's authorities."
    ),
    _file("--tls-ca", "SPARRING_CA_FILE", "Use TLS, with the authority of this certificate"),
    _file("--tls-cert", "SPARRING_CERT_FILE", "Your own certificate, where the service asks for one"),
    _file("--tls-key", "SPARRING_CERT_KEY_FILE", "Its private key"),
    click.option(
        "--allow-plaintext-key",
        is_flag=True,
        expose_value=False,
        callback=_keep,
        help="Send the key without TLS to another machine; anybody on the way can read it.",
    ),
)


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the service; gRPC is loaded here and not before."""
    from sparring.client import connect

    given: dict[str, Any] = dict(click.get_current_context().meta[_PLACE])
    with connect(address, key=_key(given.pop("key_file")), **given) as client:
        yield client


def _key(path: Path | None) -> str | None:
    """The key in a file, or in $SPARRING_KEY; None where there is neither."""
    if path is None:
        held = os.environ.get("SPARRING_KEY", "").strip()
        return held or None
    try:
        held = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--key-file: can't read {path}: {error}") from error
    if not held:
        raise click.UsageError(f"--key-file: {path} is empty; `sparring keys new` prints a key")
    return held
