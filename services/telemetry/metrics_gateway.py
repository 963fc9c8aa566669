"""What a gateway counts of itself. Counting goes on whether anybody asks for the numbers or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from services.telemetry.metrics_instruments import counter, gauge, histogram, new_registry

LOOK_S = 0.5
# A path that is none of ours is as long as its client likes.
UNKNOWN = "unknown"


class Meter:
    """The calls of one method; `streams` are counted as open and their messages too, others timed."""

    def __init__(self, metrics: GatewayMetrics, method: str, *, streams: bool) -> None:
        self._metrics, self._method = metrics, method
        self._codes: dict[str, Callable[[], None]] = {}
        self._open = metrics.streams_open.labels(method) if streams else metrics.in_flight
        self._observe = None if streams else metrics.seconds.labels(method).observe
        self._count_message = metrics.stream_messages.labels(method).inc if streams else None

    def began(self) -> None:
        """A call has come."""
        self._open.inc()

    def ended(self, code: str, started: float) -> None:
        """A call is over that came at this time of the monotonic clock."""
        self._open.dec()
        count = self._codes.get(code)
        if count is None:
            count = self._codes[code] = self._metrics.requests.labels(self._method, code).inc
        count()
        if self._observe is not None:
            self._observe(time.monotonic() - started)

    def received(self, size_bytes: int) -> None:
        """A message has come."""
        self._metrics.received_bytes.inc(size_bytes)

    def sent(self, message: object) -> None:
        """A message of a stream was taken; those that come encoded are bytes of an artifact."""
        if self._count_message is not None:
            self._count_message()
        if isinstance(message, bytes):
            self._metrics.sent_bytes.inc(len(message))


class GatewayMetrics:
    """The instruments of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = new_registry()
        self.requests = counter(self.registry, "sparring_gateway_requests_total")
        self.seconds = histogram(self.registry, "sparring_gateway_request_seconds")
        self.in_flight = gauge(self.registry, "sparring_gateway_requests_in_flight")
        self.streams_open = gauge(self.registry, "sparring_gateway_streams_open")
        self.stream_messages = counter(self.registry, "sparring_gateway_stream_messages_total")
        self.events = counter(self.registry, "sparring_gateway_events_total")
        self.received_bytes = counter(self.registry, "sparring_gateway_received_bytes_total")
        self.sent_bytes = counter(self.registry, "sparring_gateway_sent_bytes_total")
        self.loop_lag = histogram(self.registry, "sparring_gateway_loop_lag_seconds")
        self.audit_entries = counter(self.registry, "sparring_gateway_audit_entries_total")
        self.audit_dropped = counter(self.registry, "sparring_gateway_audit_dropped_total")
        self.audit_waiting = gauge(self.registry, "sparring_gateway_audit_waiting")
        self.strangers = counter(self.registry, "sparring_gateway_refused_strangers_total")
        self._meters: dict[str, Meter] = {}

    def meter(self, method: str, *, streams: bool) -> Meter:
        """What counts the calls of a method that the gateway has, e.g. "JobService.CreateJob"."""
        meter = self._meters.get(method)
        if meter is None:
            meter = self._meters[method] = Meter(self, method, streams=streams)
        return meter

    async def watch_loop(self) -> None:
        """Look, until cancelled, at how late the event loop is with what it was asked for."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.loop_lag.observe(max(0.0, clock() - due))
