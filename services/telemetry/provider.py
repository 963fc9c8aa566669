"""Spans by OpenTelemetry; imported only where `tracing.configure` is told where they go.

A collector that refuses or hangs costs spans and a line in the log, and never the time of whoever made them: they wait
in a queue of bounded length for a thread of their own.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from services.telemetry.context import TraceContext
from services.telemetry.recording import Attributes, Kind
from services.telemetry.redaction import redacted
from services.telemetry.settings import FILE, TelemetrySettings
from services.telemetry.span_file import FileExporter

logger = logging.getLogger(__name__)

# Spans that wait for a collector that is away; a unit makes about ten. More are dropped, the oldest first.
QUEUED = 4096
DELAY_S = 1.0
# One delivery, its retries included.
EXPORT_S = 5.0
# Between two lines that say that spans are lost.
SAID_EVERY_S = 60.0
MOST_CHARACTERS = 200

_KINDS = {"internal": trace.SpanKind.INTERNAL, "server": trace.SpanKind.SERVER}


class Provider:
    """The `tracing.Backend` of one process."""

    def __init__(self, service: str, settings: TelemetrySettings, *, everywhere: bool = False) -> None:
        """`settings.traces` says where spans go."""
        assert settings.traces is not None, "somebody looked"
        self._exporter = _Heard(_exporter(settings.traces), settings.traces)
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=QUEUED, schedule_delay_millis=DELAY_S * 1000, max_export_batch_size=512
        )
        self._ids = _Ids()
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.traces_ratio)),
            resource=Resource.create({"service.name": service, "service.version": version("sparring")}),
            # At the end of a process `close` waits; OpenTelemetry itself would wait for half a minute.
            shutdown_on_exit=False,
            id_generator=self._ids,
            span_limits=SpanLimits(max_span_attribute_length=MOST_CHARACTERS),
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("sparring", version("sparring"))
        if everywhere:
            trace.set_tracer_provider(provider)
        self._wanted = threading.Event()
        threading.Thread(target=self._flush, name="spans", daemon=True).start()

    def start(
        self,
        name: str,
        attributes: Attributes,
        *,
        parent: TraceContext | None,
        kind: Kind,
        span_id: str | None,
        link: TraceContext | None,
        start_ns: int | None,
    ) -> _Recording:
        """Begin a span."""
        # An empty context, not None: that would mean whatever OpenTelemetry itself has under way here.
        above = Context()
        if parent is not None:
            above = trace.set_span_in_context(trace.NonRecordingSpan(_foreign(parent)), above)
        links = [] if link is None else [trace.Link(_foreign(link))]
        with self._ids.next_span(span_id):
            span = self._tracer.start_span(
                name, above, _KINDS[kind], _safe(attributes), links, start_ns, record_exception=False
            )
        return _Recording(span)

    def flush_soon(self) -> None:
        """Wake the thread that delivers."""
        self._wanted.set()

    def close(self, timeout_s: float) -> None:
        """Deliver what is there, and hang up on a collector that does not take it."""
        last = threading.Thread(target=self._processor.force_flush, daemon=True)
        last.start()
        last.join(timeout_s)
        self._exporter.shutdown()

    def _flush(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            self._processor.force_flush()


class _Recording:
    """A span of OpenTelemetry as a `tracing.Recording`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        own = span.get_span_context()
        self.context = TraceContext(
            trace.format_trace_id(own.trace_id),
            trace.format_span_id(own.span_id),
            own.trace_flags.sampled,
            own.trace_state.to_header(),
        )

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(_safe(attributes))

    def fail(self, reason: str) -> None:
        """Make it one that failed."""
        self._span.set_status(trace.StatusCode.ERROR, reason[:MOST_CHARACTERS])

    def end(self, end_ns: int | None) -> None:
        """End it."""
        self._span.end(end_ns)


class _Ids(IdGenerator):
    """Random ids, and one of our choice where there is a reason.

    OpenTelemetry's own draw from Python's global generator, which a computation may have seeded.
    """

    def __init__(self) -> None:
        self._chosen = threading.local()

    def next_span(self, span_id: str | None) -> _Choice:
        """Choose the id of the span that this thread begins inside; None for a random one."""
        return _Choice(self._chosen, span_id)

    def generate_span_id(self) -> int:
        """64 bits, not all zero."""
        chosen: str | None = getattr(self._chosen, "span_id", None)
        return secrets.randbelow((1 << 64) - 1) + 1 if chosen is None else int(chosen, 16)

    def generate_trace_id(self) -> int:
        """128 bits, not all zero."""
        return secrets.randbelow((1 << 128) - 1) + 1

    def is_trace_id_random(self) -> bool:
        """Say so, as the level 2 of the W3C's text asks."""
        return True


class _Choice:
    """Holds the chosen id while a span begins."""

    def __init__(self, place: threading.local, span_id: str | None) -> None:
        self._place, self._span_id = place, span_id

    def __enter__(self) -> None:
        self._place.span_id = self._span_id

    def __exit__(self, *_: object) -> None:
        self._place.span_id = None


class _Heard(SpanExporter):
    """Another exporter, whose failures are told in one line a minute instead of in a few for each batch."""

    def __init__(self, exporter: SpanExporter, where: str) -> None:
        self._exporter, self._where = exporter, where
        self._lost, self._said_at = 0, -SAID_EVERY_S

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Pass on."""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs these spans and nothing else
            logger.debug("spans could not be sent: %s", error)
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                logger.info("spans reach %s again; %d were lost", self._where, self._lost)
            self._lost, self._said_at = 0, -SAID_EVERY_S
            return result
        self._lost += len(spans)
        if time.monotonic() - self._said_at >= SAID_EVERY_S:
            self._said_at = time.monotonic()
            logger.warning("spans don't reach %s; %d are lost so far", self._where, self._lost)
        return result

    def shutdown(self) -> None:
        """Pass on."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Pass on."""
        return self._exporter.force_flush(timeout_millis)


def _exporter(where: str) -> SpanExporter:
    if where.startswith(FILE):
        return FileExporter(where.removeprefix(FILE))
    # It says what `_Heard` says, a few times for each batch.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    return OTLPSpanExporter(endpoint=where, insecure=where.startswith("http://"), timeout=EXPORT_S)


def _safe(attributes: Attributes) -> Attributes:
    """Return attributes without what looks like a secret: names of models are words that clients choose."""
    return {name: redacted(value) if isinstance(value, str) else value for name, value in attributes.items()}


def _foreign(context: TraceContext) -> trace.SpanContext:
    return trace.SpanContext(
        trace_id=int(context.trace_id, 16),
        span_id=int(context.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED if context.sampled else trace.TraceFlags.DEFAULT),
        trace_state=trace.TraceState.from_header([context.state]),
    )
