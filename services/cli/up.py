"""`sparring up`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--workers", type=click.IntRange(0), default=2, metavar="N", help="Worker processes; default 2.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where jobs and files are kept; left out, ~/.local/share/sparring.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=50051, metavar="N", help="Port on the loopback; default 50051."
)
@click.option(
    "--tenants",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask for keys, those of this file (see `sparring keys new`); left out, nobody is asked for one.",
)
@click.option(
    "--console-port",
    type=click.IntRange(0, 65535),
    default=50080,
    metavar="N",
    help="Port of the web console on the loopback; default 50080, 0 for a free one.",
)
@click.option("--no-console", is_flag=True, help="No web console.")
def up(
    workers: int, data_dir: Path | None, port: int, tenants: Path | None, console_port: int, *, no_console: bool
) -> None:
    """Start a service on this machine: store, gateway, workers and web console, until Ctrl-C.

    It listens on the loopback only and needs no root. Jobs that were accepted go on at the next start.
    """
    from services import local

    try:
        local.up(
            workers=workers,
            data_dir=data_dir,
            port=port,
            tenants=tenants,
            console_port=None if no_console else console_port,
        )
    except local.StackError as error:
        raise click.ClickException(str(error)) from error
