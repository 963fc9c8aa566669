"""What a worker's computing process counts of itself.

One process has one worker, so this module has the one registry. A child that is started again begins at zero, which
Prometheus takes for what it is; what became of the unit that the dead one held, the store has counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from services.telemetry.metrics import METRICS
from services.telemetry.metrics_instruments import counter, gauge, histogram, new_registry

# Bytes that are used, and bytes that there are.
Memory = Callable[[], tuple[int, int]]


class Busy(Collector):
    """The time with a unit, the one at work included: a training of an hour is seen while it runs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._before = 0.0
        self._since: list[float] = []

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time that the block takes."""
        started = time.monotonic()
        with self._lock:
            self._since.append(started)
        try:
            yield
        finally:
            with self._lock:
                self._since.remove(started)
                self._before += time.monotonic() - started

    def seconds(self) -> float:
        """The sum up to now."""
        with self._lock:
            now = time.monotonic()
            return self._before + sum(now - started for started in self._since)

    @override
    def collect(self) -> Iterable[CounterMetricFamily]:
        metric = METRICS["sparring_worker_busy_seconds_total"]
        yield CounterMetricFamily(metric.name, metric.help, value=self.seconds())


class WorkerMetrics:
    """The instruments of one worker."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = new_registry()
        self.busy = Busy()
        self.registry.register(self.busy)
        self.info = gauge(self.registry, "sparring_worker_info")
        self.units = counter(self.registry, "sparring_worker_units_total")
        self.unit_seconds = histogram(self.registry, "sparring_worker_unit_seconds")
        self.forwards = counter(self.registry, "sparring_worker_forwards_total")
        self.backwards = counter(self.registry, "sparring_worker_backwards_total")
        self.memory = gauge(self.registry, "sparring_worker_device_memory_bytes")
        self.out_of_memory = counter(self.registry, "sparring_worker_out_of_memory_total")
        self.checkpoints = counter(self.registry, "sparring_worker_checkpoints_total")
        self.checkpoint_bytes = counter(self.registry, "sparring_worker_checkpoint_bytes_total")
        self.heartbeat_late = histogram(self.registry, "sparring_worker_heartbeat_late_seconds")
        self.cache = counter(self.registry, "sparring_worker_cache_total")
        # What is to be seen before it has happened once.
        for outcome in ("smaller", "failed"):
            self.out_of_memory.labels(outcome)
        for cache in ("models", "datasets"):
            for outcome in ("hit", "miss"):
                self.cache.labels(cache, outcome)

    def describe(self, lane: str, device: str, memory: Memory) -> None:
        """Say where this worker computes; `memory` is asked whenever somebody asks for the numbers."""
        self.info.labels(lane, device).set(1)
        self.memory.labels("used").set_function(lambda: memory()[0])
        self.memory.labels("total").set_function(lambda: memory()[1])

    def attacked(self, attack: str, forwards: int, backwards: int) -> None:
        """An attack has run; so many samples went through a model, and so many back."""
        self.forwards.labels(attack).inc(forwards)
        self.backwards.labels(attack).inc(backwards)

    def checkpointed(self, size_bytes: int) -> None:
        """A checkpoint was kept."""
        self.checkpoints.inc()
        self.checkpoint_bytes.inc(size_bytes)

    def asked_cache(self, cache: str, *, hit: bool) -> None:
        """One of the two caches was asked for something."""
        self.cache.labels(cache, "hit" if hit else "miss").inc()


def process_memory() -> tuple[int, int]:
    """What a CPU's worker has of memory: bytes of this process, and of the machine."""
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        pages = 0
    return pages * page, os.sysconf("SC_PHYS_PAGES") * page


MEASURED = WorkerMetrics()
