"""What a reader has to know of a run: the machine, the clock, the versions."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

CLOCKS = {"cpu_s": "CPU time", "wall_s": "wall-clock time"}


def about(packages: Iterable[str], *, device: str, threads: int, quick: bool, clock: str) -> dict[str, Any]:
    """The run in figures; `packages` are the other libraries, by the names of the package index."""
    return {
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else processor(),
        "threads": threads,
        "size": "quick" if quick else "full",
        "clock": CLOCKS[clock],
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "versions": {"Python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in ("torch", "numpy", *packages)},
    }


def processor() -> str:
    """The processor by the name that Linux has for it, and how many there are."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return f"{found[1] if found else platform.machine()}, {os.cpu_count()} processors"
