"""How spans leave a process: to a collector that takes them, refuses them, or hangs."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from typing_extensions import override

from services.telemetry import tracing
from services.telemetry.context import TraceContext
from services.telemetry.settings import TelemetrySettings

PARENT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is given, after it has done what a test wants of it."""

    def __init__(self) -> None:
        self.spans, self.services = [], set()
        self.before: Callable[[grpc.ServicerContext], None] = lambda _: None

    @override
    def Export(self, request, context):
        self.before(context)
        for group in request.resource_spans:
            named = {attribute.key: attribute.value.string_value for attribute in group.resource.attributes}
            self.services.add(named["service.name"])
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A real OTLP collector on a loopback port; its address is `at`."""
    made = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    made.at = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield made
    server.stop(None)
    tracing.close(0.1)


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)


def units(count: int) -> float:
    """Make the spans of so many units; the longest that one of them took, in seconds."""
    longest = 0.0
    for number in range(count):
        begun = time.monotonic()
        with tracing.span("unit", {"sparring.unit": number}, parent=PARENT), tracing.span("commit"):
            pass
        tracing.flush_soon()
        longest = max(longest, time.monotonic() - begun)
    return longest


def test_a_collector_gets_every_span_with_its_attributes_soon_after_each_unit(collector):
    tracing.configure("sparring-worker", TelemetrySettings(traces=collector.at))
    units(3)
    until(lambda: len(collector.spans) == 6)
    unit = next(span for span in collector.spans if span.name == "unit")
    assert (unit.trace_id.hex(), unit.parent_span_id.hex()) == (PARENT.trace_id, PARENT.span_id)
    assert {attribute.key for attribute in unit.attributes} == {"sparring.unit"}
    assert collector.services == {"sparring-worker"}


def test_a_failure_arrives_as_a_status_with_its_reason(collector):
    tracing.configure("sparring-worker", TelemetrySettings(traces=collector.at))
    with tracing.span("unit", parent=PARENT) as span:
        span.fail("ARTIFACT_MISSING")
    tracing.close()
    (arrived,) = collector.spans
    assert (arrived.status.code, arrived.status.message) == (arrived.status.STATUS_CODE_ERROR, "ARTIFACT_MISSING")


def test_a_collector_that_is_not_there_costs_no_unit_its_time_and_one_line_in_the_log(caplog):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with caplog.at_level(logging.WARNING):
        tracing.configure("sparring-worker", TelemetrySettings(traces=f"http://127.0.0.1:{port}"))
        assert units(200) < 0.5
        begun = time.monotonic()
        tracing.close(0.3)
        assert time.monotonic() - begun < 5.0
    assert sum("spans" in record.message for record in caplog.records) <= 1


def test_a_collector_that_hangs_delays_no_unit_and_no_end(collector):
    release = threading.Event()
    collector.before = lambda _: release.wait(60)
    tracing.configure("sparring-worker", TelemetrySettings(traces=collector.at))
    try:
        assert units(300) < 0.5
        begun = time.monotonic()
        tracing.close(0.5)
        assert time.monotonic() - begun < 5.0
    finally:
        release.set()


def test_a_collector_that_refuses_is_told_of_once_and_used_again_when_it_is_back(collector, caplog):
    refusing = threading.Event()
    refusing.set()

    def before(context: grpc.ServicerContext) -> None:
        if refusing.is_set():
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")

    collector.before = before
    with caplog.at_level(logging.INFO):
        tracing.configure("sparring-worker", TelemetrySettings(traces=collector.at))
        for _ in range(3):
            units(1)
            time.sleep(0.1)
        until(lambda: "don't reach" in caplog.text)
        refusing.clear()
        units(1)
        until(lambda: "again" in caplog.text)
    assert caplog.text.count("don't reach") == 1
    assert len(collector.spans) >= 2


def test_spans_beyond_the_queue_are_dropped_and_memory_stays_bounded(collector):
    release = threading.Event()
    collector.before = lambda _: release.wait(60)
    tracing.configure("sparring-worker", TelemetrySettings(traces=collector.at))
    from services.telemetry.provider import QUEUED

    for _ in range(2 * QUEUED):
        tracing.span("unit", parent=PARENT).end()
    release.set()
    tracing.close(20.0)
    assert 0 < len(collector.spans) <= QUEUED + 1024
