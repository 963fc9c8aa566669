"""Measure things against their floor in one run: rounds alternate, medians are compared."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ratio:
    """A median against the floor's median of the same rounds."""

    name: str
    ours_ms: float
    floor_ms: float
    ratio: float
    bar: str
    held: bool

    def line(self) -> str:
        mark = "held" if self.held else "MISSED"
        verdict = f"({self.bar}: {mark})" if self.bar else "(no bar: shown for comparison)"
        figures = f"{self.ours_ms:9.3f} ms / {self.floor_ms:9.3f} ms = {self.ratio:5.2f}"
        return f"{self.name:<66} {figures}  {verdict}"


def compare(
    name: str, ours: list[float], floor: list[float], *, at_most: float | None = None, at_least: float | None = None
) -> Ratio:
    """The median over rounds of ours/floor, times in seconds; `at_least` speaks of speed, so of floor/ours."""
    ratios = [a / b for a, b in zip(ours, floor, strict=True)]
    ratio = statistics.median(ratios)
    bar = f"<= {at_most:g}" if at_most is not None else f">= {at_least:g}"
    if at_least is not None:
        ratio = 1 / ratio
    held = ratio <= at_most if at_most is not None else ratio >= (at_least or 0)
    return Ratio(name, statistics.median(ours) * 1e3, statistics.median(floor) * 1e3, ratio, bar, held)


def clock(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


async def aclock(call: Callable[[], Awaitable[object]]) -> float:
    """Seconds that one awaited call takes."""
    begin = time.perf_counter()
    await call()
    return time.perf_counter() - begin


def write(path: Path, ratios: list[Ratio]) -> None:
    """Keep the figures beside the printed lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([vars(ratio) for ratio in ratios], indent=1) + "\n")
