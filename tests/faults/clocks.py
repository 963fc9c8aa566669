"""Wall clocks that are wrong and that step: libfaketime in front of a process."""

from __future__ import annotations

import time
from pathlib import Path

from services.local import valkey

from .stack import alive, missing

LIBRARIES = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib64/faketime/libfaketimeMT.so.1"),
)
# The reaper and the workers ask the store for the time once a second at least.
NOTICED_S = 1.2


def library() -> str:
    """The library that lies about the time; skips, or fails in CI, where it is not installed."""
    found = next((path for path in LIBRARIES if path.exists()), None)
    if found is None:
        missing("libfaketime")
    return str(found)


class Clock:
    """The wall clock of some processes, which steps when it is told to; their monotonic clocks are true.

    A process under libfaketime whose monotonic clock is spared can't sleep by `clock_nanosleep` (EINVAL), which is what
    a pause at a fault point is; whoever lives by such a clock is to have no pauses.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.write(0)

    def write(self, offset_s: int) -> None:
        """Be so many seconds off, from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset_s:+d}s\n", encoding="ascii")
        fresh.replace(self._file)

    def step(self, offset_s: int) -> None:
        """The same, and wait until all that happens once a second has seen it."""
        self.write(offset_s)
        time.sleep(NOTICED_S)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process live by this clock."""
        return {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }

    def store_binary(self) -> Path:
        """A program that is the embedded store, living by this clock.

        A redis-server with jemalloc is none that libfaketime can be put before: either asks the other at its start.
        """
        exports = "\n".join(f"export {name}='{value}'" for name, value in self.environment.items())
        script = self._file.with_suffix(".sh")
        script.write_text(f'#!/bin/sh\n{exports}\nexec {valkey._bundled()} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        return script


def clear_away() -> None:
    """Take away what libfaketime leaves in shared memory of processes that left without a goodbye."""
    for left in Path("/dev/shm").glob("*faketime_s*_*"):
        if not alive(int(left.name.rpartition("_")[2])):
            left.unlink(missing_ok=True)
