"""The table of `metrics` as prometheus-client's instruments, each process with a registry of its own."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from services.telemetry.metrics import METRICS

# A second series for each counter, with the time of its first event, is nothing that anybody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


def new_registry() -> CollectorRegistry:
    """A registry that has the process itself in it: CPU time, memory, open files, garbage collections."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def counter(registry: CollectorRegistry, name: str) -> Counter:
    """The counter of this name."""
    metric = METRICS[name]
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def gauge(registry: CollectorRegistry, name: str) -> Gauge:
    """The gauge of this name."""
    metric = METRICS[name]
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def histogram(registry: CollectorRegistry, name: str) -> Histogram:
    """The histogram of this name."""
    metric = METRICS[name]
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.bounds)
