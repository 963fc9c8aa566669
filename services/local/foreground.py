"""`sparring up`: the stack in the foreground of a shell, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from services.local.stack import LocalStack

BANNER = """
Sparring is up.

  address   {stack.target}
  workers   {workers}
  data      {stack.folder}
  logs      {stack.logs}

In another shell:

  sparring datasets list
  sparring train standard --architecture wong_cnn --dataset mnist10k --model-id first --wait
  sparring attack fgsm --model first --dataset mnist10k --epsilon 0.25 --wait

Ctrl-C stops it. Jobs that were accepted go on at the next start.
"""


def up(workers: int = 2, data_dir: str | Path | None = None, port: int = 50051) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; raises StackError where it can't start."""
    told_to_stop = threading.Event()
    before = {
        sign: signal.signal(sign, lambda *_: told_to_stop.set())
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        stack = LocalStack(workers, data_dir, port)
        print(f"Starting the store, the gateway and {workers} workers ...", flush=True)
        with stack:
            print(BANNER.format(stack=stack, workers=workers), flush=True)
            told_to_stop.wait()
            print("Stopping: workers finish or give back what they hold ...", flush=True)
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
    print("Stopped.", flush=True)
