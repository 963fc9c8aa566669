"""The process that answers previews beside a worker: `python -m workers.run.previewer NAME`, started by the worker.

It is a process of its own, so that nothing that a preview does can reach a unit: not torch's one random state, which
a preview seeds, not the interpreter's lock, not a crash (docs/adr/0019-previews.md). It begins when the first preview
wakes it, and ends by itself once it was asked nothing for five minutes. Its standard input carries the first task,
and its end says that the worker is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

import torch
from sparring.v1 import preview_pb2

from services.artifacts.store import ArtifactStore
from services.connection import connect
from services.errors import Unavailable
from services.jobs.previews import Posted, PreviewBoard
from services.jobs.store import JobStore
from services.settings import WorkerSettings
from services.telemetry import logs
from services.telemetry.settings import TelemetrySettings
from workers.run.previews import answer
from workers.run.unit import Context

logger = logging.getLogger(__name__)

IDLE_S = 300.0
AGAIN_S = 0.5
# To the kernel that looks for a process to kill: rather this one than the one that holds a unit.
OOM_SCORE = "500"


def serve(board: PreviewBoard, context: Context, first: Posted | None, *, idle_s: float = IDLE_S) -> int:
    """Answer until nothing was asked for `idle_s`; how many were answered."""
    answered = 0
    board.listen()
    posted, asked = first, time.monotonic()
    while True:
        if posted is not None:
            answered += _serve_one(board, context, posted)
            asked = time.monotonic()
        left_s = asked + idle_s - time.monotonic()
        if left_s <= 0:
            return answered
        try:
            posted = board.wait_awake(min(left_s, 5.0))
        except Unavailable as error:
            logger.warning("can't wait for previews: %s", error.message)
            posted = None
            time.sleep(AGAIN_S)


def _serve_one(board: PreviewBoard, context: Context, posted: Posted) -> bool:
    """Answer one preview; one that nobody waits for any more is passed over."""
    if board.late(posted):
        return False
    task = preview_pb2.PreviewTask.FromString(posted.task)
    found = answer(task, context).SerializeToString()
    if board.late(posted):
        return False
    with contextlib.suppress(Unavailable):  # it is asked again, if anybody cares
        board.answer(task.id, task.tenant, found)
    return True


def _end_with(stream: BinaryIO) -> None:
    """End this process with the one that holds the other end of its standard input."""

    def wait() -> None:
        stream.read()
        os._exit(0)

    threading.Thread(target=wait, name="tether", daemon=True).start()


def main(name: str) -> None:
    """Take the first task, and serve until there is nothing to do."""
    logs.configure(TelemetrySettings.from_env().log_format, "previewer")
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    # Without Python's buffer, whose lock a thread that waits for its end would still hold when this process ends.
    stdin = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - it is a descriptor, and stays open
    first = Posted.read(stdin)
    _end_with(stdin)
    settings = WorkerSettings.from_env()
    torch.set_num_threads(settings.threads)
    torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    with connect(settings.store) as redis, connect(settings.store, blocking=True) as blocking:
        board = PreviewBoard(redis, blocking, name)
        context = Context(
            store=JobStore(redis, settings.store),
            artifacts=ArtifactStore(redis, settings.store),
            device=torch.device("cpu"),
            data_root=settings.data_root,
        )
        logger.info("ready")
        count = serve(board, context, first)
        board.leave()
    logger.info("ended after %d previews", count)


if __name__ == "__main__":
    main(sys.argv[1])
