"""Looks at a stack every few seconds: what each process holds, and what the store does."""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from redis.exceptions import RedisError

from tests.faults.stack import FaultStack

from .slopes import Slope, Tolerance, slope

P = b"{sparring}:"
EVERY_S = 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# A process that has just begun fills its caches; it is looked at from then on.
WARM_S = 60.0
# What is written lives for so many seconds, so these grow until the soak has lasted that long and are judged from then
# on: claims and repeated deletes are remembered for ten minutes, artifacts are kept for two.
SETTLES_S = {"keys claim": 600.0, "keys done": 600.0, "keys a": 240.0, "used_memory store": 240.0, "rss store": 240.0}

TOLERANCES = {
    "rss": Tolerance(share=0.05, rise=10e6),
    "files": Tolerance(per_minute=0.5, rise=3),
    "used_memory": Tolerance(share=0.05, rise=10e6),
    # What a load leaves and what lapses again goes up and down with it; a leak of one key a job is far beyond this.
    "keys": Tolerance(share=0.25, rise=60),
    "events": Tolerance(share=0.25, rise=300),
    "held": Tolerance(share=0.25, rise=5),
}


class Sampler:
    """A thread that fills `series`: name -> (seconds since the start, value)."""

    def __init__(self, stack: FaultStack) -> None:
        self._stack = stack
        self._redis = stack.connect()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="sampler", daemon=True)
        self._began = monotonic()
        self._born: dict[str, float] = {}
        self.series: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.missed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()
        self._redis.close()

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return monotonic() - self._began

    def _keep(self) -> None:
        while not self._left.wait(EVERY_S):
            now_s = self.now_s
            for name, value in (*self._processes(), *self._store()):
                # What began under the eyes of this thread warms up first; what was there before has.
                if now_s - self._born.setdefault(name, now_s) >= min(WARM_S, now_s / 2):
                    self.series[name].append((now_s, value))

    def _processes(self) -> Iterator[tuple[str, float]]:
        stack = self._stack
        pids = {"gateway": stack.local.pid("gateway"), "store": stack.local.pid("store")}
        for name, pid in stack.parents().items():
            pids |= {f"{name} parent": pid, f"{name} child": stack.child(name)}
        for name, pid in pids.items():
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            except (OSError, IndexError):
                continue
            yield f"rss {name} {pid}", float(pages * PAGE_BYTES)
            yield f"files {name} {pid}", float(files)

    def _store(self) -> list[tuple[str, float]]:
        """Nothing while the store is away; a half is no sample."""
        try:
            return list(counts(self._redis))
        except (RedisError, OSError):
            self.missed += 1
            return []


def kinds(redis) -> Counter[str]:
    """How many keys there are of each kind: the word after the prefix."""
    found: Counter[str] = Counter()
    for key in redis.scan_iter(match=P + b"*", count=1000):
        found[key.removeprefix(P).partition(b":")[0].decode()] += 1
    return found


def counts(redis) -> Iterator[tuple[str, float]]:
    """The store's own figures."""
    yield "used_memory store", float(redis.info("memory")["used_memory"])
    for kind, number in kinds(redis).items():
        yield f"keys {kind}", float(number)
    streams = [key for kind in (b"ev", b"wake") for key in redis.scan_iter(match=P + kind + b":*", count=1000)]
    lengths = [redis.xlen(key) for key in streams]  # the audit log has a length of its own, and grows up to it
    yield "events in all streams", float(sum(lengths))
    yield "events in the longest stream", float(max(lengths, default=0))
    yield "held leases", float(redis.zcard(P + b"leases"))
    yield "held staged uploads", float(redis.zcard(P + b"uploads"))
    yield "held bells", float(redis.llen("sparring:cel:cpu"))


def judge(series: dict[str, list[tuple[float, float]]], since_s: float, until_s: float, window_s: float) -> list[Slope]:
    """The slope of every series that is long enough, over its part between two moments."""
    found = []
    for name, points in sorted(series.items()):
        if any(name.startswith(kind) and since_s < settled_s for kind, settled_s in SETTLES_S.items()):
            continue
        part = [(at_s, value) for at_s, value in points if since_s <= at_s <= until_s]
        judged = slope(name, part, TOLERANCES[name.partition(" ")[0]], window_s)
        if judged is not None:
            found.append(judged)
    return found
