"""The application's trace goes along with its calls, where it uses OpenTelemetry, and only there."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import grpc
import pytest
import sparring
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from sparring import tracing
from sparring.errors import FailedPrecondition

HEADERS = ("traceparent", "tracestate")
FOREIGN = NonRecordingSpan(
    SpanContext(
        0x4BF9, 0x00F0, is_remote=False, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "value")])
    )
)


@pytest.fixture
def exporter(monkeypatch):
    """What the application records."""
    held, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(held))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return held


@pytest.fixture
def headers(service, monkeypatch):
    """What the calls so far carried of a trace, by method."""
    seen, enter = [], service.enter

    def watch(rpc, request, context):
        seen.append((rpc, {name: value for name, value in context.invocation_metadata() if name in HEADERS}))
        enter(rpc, request, context)

    monkeypatch.setattr(service, "enter", watch)
    return seen


def ask(client):
    return client.attack("m", "mnist10k", "fgsm:epsilon=0.2")


def test_without_a_span_under_way_calls_carry_nothing(client, headers):
    client.jobs.get(ask(client))
    assert headers == [("CreateJob", {}), ("GetJob", {})]


def test_a_call_carries_the_span_under_way_and_what_other_systems_added(client, headers):
    with trace.use_span(FOREIGN):
        ask(client)
    ((_, sent),) = headers
    assert sent == {"traceparent": f"00-{0x4BF9:032x}-{0x00F0:016x}-01", "tracestate": "vendor=value"}


def test_making_a_job_is_a_span_of_the_application_and_the_service_gets_that_one(client, headers, exporter):
    with trace.use_span(FOREIGN):
        client.jobs.get(ask(client))
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind, span.parent.span_id) == ("CreateJob", trace.SpanKind.CLIENT, 0x00F0)
    assert headers[0][1]["traceparent"].split("-")[2] == trace.format_span_id(span.context.span_id)
    assert headers[1] == ("GetJob", {"traceparent": f"00-{0x4BF9:032x}-{0x00F0:016x}-01", "tracestate": "vendor=value"})


def test_a_refused_job_fails_the_span_with_the_reason_alone(client, service, fake, exporter):
    said = fake.status_of(grpc.StatusCode.FAILED_PRECONDITION, "a secret word", reason="MODEL_NOT_READY")
    service.failures["CreateJob"].append(said)
    with pytest.raises(FailedPrecondition):
        ask(client)
    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "MODEL_NOT_READY")
    assert span.events == ()


async def test_concurrent_calls_of_one_loop_carry_their_own_spans(server, headers, exporter):
    async with sparring.connect_async(server.target) as client:

        async def ask_within(number):
            own = SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(1))
            with trace.use_span(NonRecordingSpan(own)):
                await asyncio.sleep(0.001 * (number % 3))
                await client.attack("m", "mnist10k", "fgsm:epsilon=0.2")

        await asyncio.gather(*(ask_within(number) for number in range(1, 9)))
    assert sorted(int(sent["traceparent"].split("-")[1], 16) for _, sent in headers) == list(range(1, 9))
    made = {span.context.trace_id: span.context.span_id for span in exporter.get_finished_spans()}
    sent = [sent["traceparent"].split("-") for _, sent in headers]
    assert {int(trace_id, 16): int(span_id, 16) for _, trace_id, span_id, _ in sent} == made


def test_the_client_never_imports_opentelemetry_and_needs_none():
    code = (
        "import sys; import sparring; client = sparring.connect('127.0.0.1:1'); "
        "from sparring import tracing; assert tracing.metadata() == (); "
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_half_imported_package_counts_as_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", object())
    with tracing.span("CreateJob"):
        assert tracing.metadata() == ()
