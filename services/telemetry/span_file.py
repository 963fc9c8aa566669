"""Spans as lines of JSON in a file that any number of processes of one machine add to.

    {"trace", "span", "parent", "name", "kind", "start_ns", "end_ns", "error", "attributes", "links", "service", "pid"}

Ids are hex, `parent` and `error` (the code of a reason) null where there is none, times nanoseconds since 1970, `links`
ids of spans.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class FileExporter(SpanExporter):
    """Adds spans to the end of one file, which only its owner can read."""

    def __init__(self, path: str) -> None:
        """OSError where the file can't be written."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write them, under a lock, so that lines of two processes never mix."""
        lines = b"".join(json.dumps(_line(span)).encode() + b"\n" for span in spans)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                written = os.write(self._file, lines)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS if written == len(lines) else SpanExportResult.FAILURE


def _line(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None, "a span that was recorded has one"
    failed = span.status.status_code is trace.StatusCode.ERROR
    return {
        "trace": trace.format_trace_id(context.trace_id),
        "span": trace.format_span_id(context.span_id),
        "parent": None if span.parent is None else trace.format_span_id(span.parent.span_id),
        "name": span.name,
        "kind": span.kind.name.lower(),
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "error": span.status.description if failed else None,
        "attributes": {} if span.attributes is None else dict(span.attributes),
        "links": [trace.format_span_id(link.context.span_id) for link in span.links],
        "service": span.resource.attributes["service.name"],
        "pid": os.getpid(),
    }
