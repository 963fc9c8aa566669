"""One process of the stack: started in a group of its own, its words in a log file, restarted when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

TETHER = Path(__file__).with_name("tether.py")
LOG_BYTES = 10 << 20
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
STEADY_S = 30.0


@dataclass
class Program:
    """A Python module that is to run until it is told to stop."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    folder: Path
    longest_wait_s: float = LONGEST_WAIT_S
    deaths: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _started: float = 0.0
    _wait_s: float = FIRST_WAIT_S
    _start_at: float = 0.0
    _asked: bool = False

    @property
    def pid(self) -> int:
        """The process id; 0 while there is no process."""
        return 0 if self._process is None else self._process.pid

    def tend(self) -> None:
        """Start it if it does not run and has waited long enough; a program that keeps dying waits longer.

        One that was asked to end is started again at once: that is a restart and no death.
        """
        if self._process is not None:
            if self._process.poll() is None:
                return
            if self._asked:
                self._process, self._start_at = None, 0.0
            else:
                self._mourn(self._process)
        if monotonic() >= self._start_at:
            self._start()

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._asked = True
            self._process.terminate()

    def kill(self) -> None:
        """Kill it and whatever it started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, timeout_s: float) -> None:
        """Wait for its end, and kill it and whatever it started if that takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._process = None

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), sys.executable, *self.arguments],
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C in the shell reaches it through `terminate`, in order.
                process_group=0,
            )
        self._started, self._asked = monotonic(), False

    def _mourn(self, process: subprocess.Popen[bytes]) -> None:
        self.deaths += 1
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"-- {self.name} (pid {process.pid}) ended with {process.returncode}, to be started again\n")
        if monotonic() - self._started > STEADY_S:
            self._wait_s = FIRST_WAIT_S
        self._start_at = monotonic() + min(self._wait_s, self.longest_wait_s)
        self._wait_s = min(2 * self._wait_s, self.longest_wait_s)
        self._process = None
