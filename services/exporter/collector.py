"""The store's numbers, read whenever somebody asks for them: one function and INFO MEMORY, two calls in all.

Nothing is kept between two readings, so any number of exporters tells the same; queries take the greatest.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from typing_extensions import override

from services.connection import Redis, translated
from services.errors import SparringError
from services.jobs import measures, registry_calls
from services.jobs.measures import Measures
from services.jobs.record import KINDS
from services.jobs.states import TERMINAL, State
from services.settings import StoreSettings
from services.telemetry.metrics import EXPORTER, UNITS

logger = logging.getLogger(__name__)

OUTCOMES = ("committed", "released", "cancelled", "dropped", "told", "lost")
EVENTS = ("state", "unit", "progress", "metric")
CALLS = ("renew", "metric", "commit", "end", "release", "stopped")
WORKER_LANES = ("cpu", "gpu")
# Models of device that are told apart; the rest are "other".
MOST_DEVICES = 20

Labels = tuple[str, ...]


class StoreCollector(Collector):
    """Reads the store at each scrape; one that can't be read is `sparring_store_up` 0 and nothing else."""

    def __init__(self, redis: Redis, settings: StoreSettings, tenants: tuple[str, ...] = ()) -> None:
        self._redis, self._settings, self._tenants = redis, settings, tenants

    @override
    def collect(self) -> Iterator[Family]:
        begun = time.monotonic()
        try:
            found = list(self._read())
        except SparringError as error:
            logger.warning("the store can't be read: %s", error.message)
            found = []
        yield gauge("sparring_store_up", {(): float(bool(found))})
        yield gauge("sparring_exporter_read_seconds", {(): time.monotonic() - begun})
        yield from found

    def _read(self) -> Iterator[Family]:
        measured = measures.read(self._redis)
        with translated():
            memory: dict[str, Any] = self._redis.info("memory")
        yield from _jobs(measured)
        yield from _units(measured)
        yield from _lanes(measured)
        yield from self._memory(memory)
        yield gauge("sparring_artifact_bytes", {(): measured.counts.get("bytes", 0)})
        if self._tenants:
            yield from self._of_tenants()

    def _memory(self, memory: dict[str, Any]) -> Iterator[Family]:
        limit = int(memory["maxmemory"])
        limit = limit if limit > 0 else self._settings.redis_memory_bytes
        used = int(memory["used_memory"])
        yield gauge("sparring_redis_memory_bytes", {("used",): used, ("limit",): limit})
        yield gauge("sparring_redis_memory_ratio", {(): used / limit if limit else 0.0})

    def _of_tenants(self) -> Iterator[Family]:
        jobs: dict[Labels, float] = {}
        size: dict[Labels, float] = {}
        for tenant in self._tenants:
            call = registry_calls.usage(tenant)
            with translated():
                usage = call.parse(self._redis.execute_command(*call.command))  # type: ignore[no-untyped-call]
            jobs |= {(tenant, "queued"): usage.queued_jobs, (tenant, "running"): usage.running_jobs}
            size[(tenant,)] = usage.artifact_bytes
        yield gauge("sparring_tenant_jobs", jobs)
        yield gauge("sparring_tenant_artifact_bytes", size)


def gauge(name: str, values: dict[Labels, float]) -> GaugeMetricFamily:
    """A gauge with a value for each of its labels."""
    family = GaugeMetricFamily(name, EXPORTER[name].help, labels=EXPORTER[name].labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def counter(name: str, values: dict[Labels, float]) -> CounterMetricFamily:
    """A counter with a value for each of its labels."""
    family = CounterMetricFamily(name, EXPORTER[name].help, labels=EXPORTER[name].labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _jobs(measured: Measures) -> Iterator[Family]:
    standing, ended, submitted = (measured.by(first) for first in ("jobs", "ended", "submitted"))
    states = [(str(int(state)), state.name) for state in State]
    yield gauge("sparring_jobs", {(name, kind): standing.get((n, kind), 0) for n, name in states for kind in KINDS})
    yield counter(
        "sparring_jobs_ended_total",
        {(state.name, kind): ended.get((str(int(state)), kind), 0) for state in sorted(TERMINAL) for kind in KINDS},
    )
    yield counter("sparring_jobs_submitted_total", {(kind,): submitted.get((kind,), 0) for kind in KINDS})
    yield counter("sparring_submits_repeated_total", {(): measured.counts.get("repeated", 0)})
    events = measured.by("events")
    yield counter("sparring_job_events_total", {(kind,): events.get((kind,), 0) for kind in EVENTS})
    for name, what in (("sparring_job_wait_seconds", "wait"), ("sparring_job_run_seconds", "run")):
        family = HistogramMetricFamily(name, EXPORTER[name].help, labels=EXPORTER[name].labels)
        for kind in KINDS:
            buckets, total = measured.histogram(what, kind)
            family.add_metric([kind], buckets, total)
        yield family


def _units(measured: Measures) -> Iterator[Family]:
    ready, running, ended = (measured.by(first) for first in ("ready", "running", "units"))
    depth: dict[Labels, float] = {(lane.lane, "ready"): ready.get((lane.lane,), 0) for lane in measured.lanes}
    depth |= {(lane, "running"): running.get((lane,), 0) for lane in WORKER_LANES}
    yield gauge(UNITS, depth)
    claimed, stale = measured.by("claimed"), measured.by("stale")
    attempts: dict[Labels, float] = {(which,): claimed.get((which,), 0) for which in ("first", "again")}
    yield counter("sparring_units_claimed_total", attempts)
    yield counter(
        "sparring_units_ended_total",
        {(outcome, kind): ended.get((outcome, kind), 0) for outcome in OUTCOMES for kind in KINDS},
    )
    yield counter("sparring_stale_tokens_total", {(call,): stale.get((call,), 0) for call in CALLS})
    yield gauge("sparring_leases_overdue", {(): measured.overdue_leases})


def _lanes(measured: Measures) -> Iterator[Family]:
    yield gauge("sparring_jobs_queued", {(lane.lane,): lane.queued_jobs for lane in measured.lanes})
    yield gauge("sparring_oldest_ready_seconds", {(lane.lane,): lane.oldest_s for lane in measured.lanes})
    yield gauge("sparring_doorbells", {(lane.lane,): lane.bells for lane in measured.lanes if lane.lane != "any"})
    common = {name for name, _ in Counter(one.device_name for one in measured.workers).most_common(MOST_DEVICES)}
    alive: Counter[Labels] = Counter()
    for one in measured.workers:
        device = one.device_name if one.device_name in common else "other"
        alive[(one.lane, device, "idle" if one.unit is None else "busy")] += 1
    for lane in WORKER_LANES:
        if not any(labels[0] == lane for labels in alive):
            alive[(lane, "none", "idle")] = 0
    yield gauge("sparring_workers", dict(alive))
