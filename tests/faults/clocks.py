"""Wall clocks that are wrong and that step: libfaketime in front of a process."""

from __future__ import annotations

import time
from pathlib import Path

from services.local import valkey

from .stack import missing

LIBRARIES = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib64/faketime/libfaketimeMT.so.1"),
)
# The store looks at its file at each call; the reaper and the workers call it within a second.
NOTICED_S = 1.0


def library() -> str:
    """The library that lies about the time; skips, or fails in CI, where it is not installed."""
    found = next((path for path in LIBRARIES if path.exists()), None)
    if found is None:
        missing("libfaketime")
    return str(found)


def wrong_by(offset_s: int) -> dict[str, str]:
    """The environment of a process whose clocks are off by so much, all its life.

    Steps are left to the store: a Python that sleeps can't have its monotonic clock spared by libfaketime, and a
    monotonic clock that steps is no fault of this world.
    """
    return {"LD_PRELOAD": library(), "FAKETIME": f"{offset_s:+d}s"}


class StoreClock:
    """The wall clock of a store, which steps when it is told to; its monotonic clock is true."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "store.clock"
        self._write(0)

    def _write(self, offset_s: int) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset_s:+d}s\n", encoding="ascii")
        fresh.replace(self._file)

    def step(self, offset_s: int) -> None:
        """Be so many seconds off, from now on."""
        self._write(offset_s)
        time.sleep(NOTICED_S)

    def binary(self) -> Path:
        """A program that is the embedded store, living by this clock.

        A redis-server with jemalloc is none that libfaketime can be put before: either asks the other at its start.
        """
        variables = {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }
        exports = "\n".join(f"export {name}='{value}'" for name, value in variables.items())
        script = self._folder / "store.sh"
        real = valkey._bundled()
        script.write_text(f'#!/bin/sh\n{exports}\nexec {real} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        return script
