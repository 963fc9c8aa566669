"""The application's trace, sent along with its calls: where OpenTelemetry is in use, and only there.

This package does not need OpenTelemetry, and never imports it. Where the application has imported it, a call carries
the span under way as W3C Trace Context (`traceparent`, `tracestate`), and the making of a job is a span of its own,
`CreateJob`. Everything that the service does for the job is then part of the application's trace.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sparring.errors import ServiceError


def metadata() -> tuple[tuple[str, str], ...]:
    """What a call carries of the span under way; nothing outside of any."""
    trace = _trace()
    if trace is None:
        return ()
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    ids = f"{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
    parent = ("traceparent", f"00-{ids}-{context.trace_flags:02x}")
    state = context.trace_state.to_header()
    return (parent, ("tracestate", state)) if state else (parent,)


@contextmanager
def span(name: str) -> Iterator[None]:
    """A span of the application around a call; it fails with the reason of a ServiceError that ends it."""
    trace = _trace()
    if trace is None:
        yield
        return
    tracer, kind = trace.get_tracer("sparring"), trace.SpanKind.CLIENT
    quiet = {"record_exception": False, "set_status_on_exception": False}
    with tracer.start_as_current_span(name, kind=kind, **quiet) as under_way:
        try:
            yield
        except ServiceError as error:
            under_way.set_status(trace.StatusCode.ERROR, error.reason)
            raise


def _trace() -> Any:
    """`opentelemetry.trace`, if somebody has imported it, whole."""
    module = sys.modules.get("opentelemetry.trace")
    return module if hasattr(module, "get_current_span") and hasattr(module, "get_tracer") else None
