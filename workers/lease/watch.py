"""The parent's watch over the child that computes.

A child that dies can't say so; its parent sees how it ended, reads what it held (`workers.lease.holding`), and tells
the store, so that another worker takes the unit at once and not when the lease runs out. A child that has not touched
that file for `hung_s` is killed: its heartbeat can't run, so a computation holds the interpreter's lock, or somebody
has stopped the process.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path
from time import monotonic
from typing import Protocol

from services.errors import SparringError
from services.jobs.store import JobStore
from workers.lease.drain import Drain
from workers.lease.holding import Held, Holding

logger = logging.getLogger(__name__)

LOOK_S = 0.2
# A worker that shuts down has 30 s for it.
HUNG_IN_SHUTDOWN_S = 20.0
STOP_S = 5.0
# Where the kernel counts whom it killed for want of memory: in this control group (version 2 or 1), and anywhere.
OOM_COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
    Path("/proc/vmstat"),
)


class Child(Protocol):
    """A process as `subprocess.Popen` shows it: negative return codes are signals, None says that it lives."""

    @property
    def pid(self) -> int | None:
        """The process id; None before it is started."""

    @property
    def returncode(self) -> int | None:
        """How it ended, as far as somebody has asked."""


class Watch:
    """Follows every child of a worker, from a thread of the parent."""

    def __init__(self, store: JobStore, holding: Holding, drain: Drain, *, hung_s: float) -> None:
        self._store, self._holding, self._drain, self._hung_s = store, holding, drain, hung_s
        self._children: list[Child] = []
        self._killed: dict[int, str] = {}
        self._oom_kills = oom_kills()
        self._touched_ns = 0
        self._changed = monotonic()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="watch", daemon=True)

    def start(self) -> None:
        """Watch from a thread."""
        self._thread.start()

    def follow(self, child: Child) -> None:
        """Watch over this process, too."""
        self._oom_kills = oom_kills()
        self._children.append(child)

    def stop(self) -> None:
        """Look for the last time; a store that does not answer is not waited for."""
        self._left.set()
        self._thread.join(STOP_S)

    def _keep(self) -> None:
        left = False
        while not left:
            left = self._left.wait(LOOK_S)
            try:
                self._look()
            except Exception:  # the parent goes on without the news; the lease then runs out by itself
                logger.exception("could not look after the child")

    def _look(self) -> None:
        for child in [child for child in self._children if child.returncode is not None]:
            self._children.remove(child)
            self._mourn(child)
        self._kill_what_hangs()

    def _mourn(self, child: Child) -> None:
        held = self._holding.read()
        if held is None or held.pid != child.pid or child.returncode is None:
            return
        # Before anything that takes time: the next child writes its own.
        self._holding.let_go()
        oom = child.returncode == -signal.SIGKILL and oom_kills() > self._oom_kills
        cause = self._killed.pop(held.pid, cause_of(child.returncode, out_of_memory=oom))
        logger.error("the child %d, which held %s/%d, is dead: %s", held.pid, held.job_id, held.unit, cause)
        self._tell(held, cause)

    def _tell(self, held: Held, cause: str) -> None:
        try:
            if not self._store.lose(held.job_id, held.unit, held.token, cause):
                logger.info("%s/%d had been given back before", held.job_id, held.unit)
            self._store.forget_worker(held.worker)
        except SparringError as error:
            logger.warning("the store can't be told that %s/%d is lost: %s", held.job_id, held.unit, error)

    def _kill_what_hangs(self) -> None:
        touched_ns, now = self._holding.touched_ns(), monotonic()
        if touched_ns != self._touched_ns:
            self._touched_ns, self._changed = touched_ns, now
        patience_s = min(self._hung_s, HUNG_IN_SHUTDOWN_S) if self._drain.requested() else self._hung_s
        if now - self._changed < patience_s:
            return
        self._changed = now
        held = self._holding.read()
        # As long as nobody has asked how a child ended, its process id belongs to nobody else.
        if held and any(child.pid == held.pid and child.returncode is None for child in self._children):
            self._killed[held.pid] = f"hung for {patience_s:g} s, then killed by its worker"
            os.kill(held.pid, signal.SIGKILL)


def cause_of(returncode: int, *, out_of_memory: bool = False) -> str:
    """E.g. "exited with status 75", "killed by SIGSEGV", "killed by SIGKILL (out of memory)"."""
    if returncode >= 0:
        return f"exited with status {returncode}"
    known = -returncode in set(signal.Signals)
    name = signal.Signals(-returncode).name if known else f"signal {-returncode}"
    return f"killed by {name}{' (out of memory)' if out_of_memory else ''}"


def oom_kills() -> int:
    """A number that grows with every process that the kernel kills for want of memory; 0 where nothing can be read."""
    total = 0
    for path in OOM_COUNTERS:
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return total
