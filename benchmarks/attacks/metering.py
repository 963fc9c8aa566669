"""The seconds and the bytes of one call."""

from __future__ import annotations

import ctypes
import gc
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured(Generic[Result]):
    """One call: its result, and what it took."""

    result: Result
    wall_s: float
    cpu_s: float


def timed(call: Callable[[], Result], device: torch.device) -> Measured[Result]:
    """Run the call; the device is idle before the clock starts and before it stops."""
    settle(device)
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    settle(device)
    return Measured(result, time.perf_counter() - wall, time.process_time() - cpu)


def settle(device: torch.device) -> None:
    """Wait for the GPU, where there is one."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(call: Callable[[], object], device: torch.device) -> int | None:
    """The most memory that the call held beyond what was held before it; None where nobody can tell.

    On a GPU that of torch's allocator; else resident memory, with all that was freed before given back first.
    """
    gc.collect()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)
        RESET.write_text("5")  # proc(5): the peak starts again from what is resident now
    except (AttributeError, OSError):
        return None
    before = _resident("VmRSS")
    call()
    return max(_resident("VmHWM") - before, 0)


def _resident(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found, f"no {field} in {STATUS}"
    return int(found[1]) * 1024
