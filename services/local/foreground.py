"""`sparring up`: the stack in the foreground of a shell, until Ctrl-C."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import NoReturn

from services.local.stack import LocalStack

DEFAULT_PORT = 50051
DEFAULT_CONSOLE_PORT = 50080
SIGNS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BANNER = """
Sparring is up.

  address   {target}
{console}  workers   {workers}
  data      {folder}
  logs      {logs}

In another shell:

{elsewhere}  sparring train standard --architecture wong_cnn --dataset mnist10k --model-id first --wait
  sparring attack fgsm --model first --dataset mnist10k --epsilon 0.25 --wait

Ctrl-C stops it. Jobs that were accepted go on at the next start.
"""


def up(
    workers: int = 2,
    data_dir: str | Path | None = None,
    port: int = DEFAULT_PORT,
    tenants: str | Path | None = None,
    console_port: int | None = DEFAULT_CONSOLE_PORT,
) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; raises StackError where it can't start, or not go on.

    `tenants`: a file of tenants and their keys; without one, everybody on this machine is the one tenant.
    `console_port`: where the web console is served, 0 for a free port; None: no console.
    """
    before = {sign: signal.signal(sign, _interrupt) for sign in SIGNS}
    asks_for_keys = {} if tenants is None else {"SPARRING_TENANTS_FILE": str(Path(tenants).resolve())}
    stack = LocalStack(
        workers,
        data_dir,
        port,
        gateway_environment=asks_for_keys,
        console=console_port is not None,
        console_port=0 if console_port is None else console_port,
    )
    try:
        print(f"Starting the store, the gateway and {workers} workers ...", flush=True)
        with stack:
            print(_banner(stack, workers, port), flush=True)
            stack.watch()
    except KeyboardInterrupt:
        print("Stopped.", flush=True)
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _interrupt(*_: object) -> NoReturn:
    """Once is enough: stopping takes as long as workers need to give back what they hold."""
    for sign in SIGNS:
        signal.signal(sign, signal.SIG_IGN)
    print("Stopping; workers finish or give back what they hold ...", flush=True)
    raise KeyboardInterrupt


def _banner(stack: LocalStack, workers: int, port: int) -> str:
    elsewhere = "" if port == DEFAULT_PORT else f"  export SPARRING_SERVER={stack.target}\n"
    return BANNER.format(
        target=stack.target,
        console=f"  console   {stack.console}\n" if stack.console else "",
        workers=workers,
        folder=stack.folder,
        logs=stack.logs,
        elsewhere=elsewhere,
    )
