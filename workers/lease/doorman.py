"""The thread in a worker's parent that waits for a preview, and starts the process that answers it and those after it.

Until somebody asks for a preview, this thread and a connection that waits, for five seconds at a time, are all that
previews cost a worker. The parent has no torch, and outlives the child that computes; the previewer is another child.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import subprocess
import sys
import threading
from collections.abc import Sequence

from services.connection import connect
from services.errors import SparringError
from services.jobs.previews import Posted, PreviewBoard
from services.settings import StoreSettings

logger = logging.getLogger(__name__)

PREVIEWER = (sys.executable, "-m", "workers.run.previewer")
# How soon the end of a previewer is seen.
LOOK_S = 0.5
# After a previewer that crashed, or a store that does not answer.
PAUSE_S = 1.0
STOP_S = 5.0


class Doorman:
    """Waits at the door for previews; behind it is one previewer at a time."""

    def __init__(self, settings: StoreSettings, command: Sequence[str] = PREVIEWER) -> None:
        """`command` starts a previewer: it is given a name, and on its standard input the first task."""
        name = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._board = PreviewBoard(connect(settings), connect(settings, blocking=True), name)
        self._command = (*command, name)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="doorman", daemon=True)
        self._previewer: subprocess.Popen[bytes] | None = None

    @property
    def previewer(self) -> int:
        """The process id of the previewer; 0 where none runs."""
        running = self._previewer
        return 0 if running is None else running.pid

    def start(self) -> None:
        """Wait from a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the previewer, if one runs; whoever waits for its answer asks again."""
        self._left.set()
        # Or it would take one more task down, and nobody would answer that.
        self._board.hang_up()
        running = self._previewer
        if running is not None:
            running.terminate()
            try:
                running.wait(STOP_S)
            except subprocess.TimeoutExpired:
                running.kill()
        self._thread.join(STOP_S)

    def _keep(self) -> None:
        while not self._left.is_set():
            try:
                posted = self._board.wait_asleep()
                if posted is not None and not self._left.is_set():
                    self._open(posted)
            except SparringError as error:
                if not self._left.wait(PAUSE_S):
                    logger.warning("can't wait for previews: %s", error.message)
            except Exception:  # the worker goes on, and so does the next preview
                logger.exception("a preview could not be handed over")
                self._left.wait(PAUSE_S)

    def _open(self, posted: Posted) -> None:
        """Start a previewer with its first task, and wait until it ends."""
        with subprocess.Popen(self._command, stdin=subprocess.PIPE) as previewer:
            self._previewer = previewer
            try:
                assert previewer.stdin is not None
                # Kept open until the previewer ends: where this process dies, its end tells the previewer so.
                previewer.stdin.write(posted.pack())
                previewer.stdin.flush()
                while previewer.poll() is None and not self._left.wait(LOOK_S):
                    pass
            finally:
                if self._left.is_set():
                    previewer.terminate()
                self._previewer = None
        if previewer.returncode != 0:
            # It could not say goodbye; what was pinned up for it is to wake another.
            self._board.leave()
            if not self._left.is_set():
                logger.error("the previewer ended with %d; the next preview starts another", previewer.returncode)
                self._left.wait(PAUSE_S)
