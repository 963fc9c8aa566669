"""What the store counts of itself, read in one call whose cost does not grow with the number of jobs.

The counts are documented at the head of `functions/7_counts.lua`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.connection import Redis, translated
from services.jobs import parsing
from services.jobs.calls import Call, function
from services.jobs.record import WorkerRecord


@dataclass(frozen=True, kw_only=True)
class LaneMeasures:
    """A lane: jobs that a worker might take, for how long the first of them has waited, live workers, bells."""

    lane: str
    queued_jobs: int
    oldest_s: float
    workers: int
    bells: int


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The store at one moment; `bounds_ms` are the upper bounds of its histograms, without the last, infinite one."""

    counts: Mapping[str, int]
    bounds_ms: tuple[int, ...]
    lanes: tuple[LaneMeasures, ...]
    overdue_leases: int
    workers: tuple[WorkerRecord, ...]

    def by(self, first: str) -> dict[tuple[str, ...], int]:
        """Every count whose name begins with this word, by the words after it."""
        named = ((tuple(name.split("/")), count) for name, count in self.counts.items())
        return {words[1:]: count for words, count in named if words[0] == first}

    def histogram(self, what: str, kind: str) -> tuple[list[tuple[str, float]], float]:
        """How many times were at most so many seconds, for each bound as text and "+Inf"; and their sum in seconds."""
        counts = self.by(what)
        total, buckets = 0, []
        for bound_ms in self.bounds_ms:
            total += counts.get((kind, str(bound_ms)), 0)
            buckets.append((str(bound_ms / 1000), float(total)))
        buckets.append(("+Inf", float(total + counts.get((kind, "inf"), 0))))
        return buckets, counts.get((kind, "sum"), 0) / 1000


def call() -> Call[Measures]:
    """The one call; it only reads."""
    return function("measure", parse=_parsed, reads=True)


def read(redis: Redis) -> Measures:
    """Ask the store. Unavailable: it can't be reached, or holds no functions of this generation."""
    asked = call()
    with translated():
        reply = redis.execute_command(*asked.command)  # type: ignore[no-untyped-call]
    return asked.parse(reply)


def _parsed(reply: Sequence[Any]) -> Measures:
    flat, bounds, lanes, overdue, workers = reply
    counts = {name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)}
    return Measures(
        counts=counts,
        bounds_ms=tuple(bounds),
        lanes=tuple(
            LaneMeasures(lane=lane.decode(), queued_jobs=queued, oldest_s=oldest / 1000, workers=alive, bells=bells)
            for lane, queued, oldest, alive, bells in lanes
        ),
        overdue_leases=overdue,
        workers=tuple(parsing.worker(text) for text in workers if text is not None),
    )
