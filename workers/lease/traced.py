"""A unit in the trace of its job, and in the lines of the log that it causes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from services.jobs.record import Lease, WorkerRecord
from services.telemetry import logs, tracing
from services.telemetry.context import TraceContext
from services.telemetry.tracing import Span
from workers.lease.outcome import Committed, Failed, Outcome

MS = 1_000_000


@contextmanager
def traced(lease: Lease, worker: WorkerRecord, lease_s: float) -> Iterator[Span]:
    """Be the span of an attempt at a unit, and put the time before it, in which the unit waited, into the trace too.

    An attempt that is not the first is linked to that one. What has ended is on its way once the unit is over, and
    nobody waits for it.
    """
    context = TraceContext.of_text(lease.trace)
    about: dict[str, str | int] = {
        "job": lease.job_id,
        "unit": lease.unit,
        "tenant": lease.tenant,
        "attempt": lease.attempt,
        "token": lease.token,
    }
    if context is not None:
        about["trace"] = context.trace_id
    with logs.bound(**about):
        if context is None:
            yield tracing.within(None)
            return
        attributes = _attributes(lease, worker)
        claimed_ms = lease.deadline_ms - round(lease_s * 1000)
        waited = tracing.span("queue", attributes, parent=context, start_ns=lease.ready_ms * MS)
        waited.end(max(claimed_ms, lease.ready_ms) * MS)
        again = lease.first_token != lease.token
        first = TraceContext(
            context.trace_id, context.attempt(lease.job_id, lease.unit, lease.first_token), context.sampled
        )
        with tracing.span(
            "closing unit" if lease.closing else "unit",
            attributes,
            parent=context,
            span_id=context.attempt(lease.job_id, lease.unit, lease.token),
            link=first if again else None,
        ) as span:
            yield span
        tracing.flush_soon()


def conclude(span: Span, outcome: Outcome) -> None:
    """Say in a unit's span what came of it."""
    span.set({"sparring.outcome": type(outcome).__name__.lower()})
    if isinstance(outcome, Failed):
        status, info = Status.FromString(outcome.error), ErrorInfo()
        known = any(detail.Unpack(info) for detail in status.details)
        span.fail(info.reason if known else "UNKNOWN")
    elif isinstance(outcome, Committed):
        span.set({"sparring.result": outcome.digest})


def _attributes(lease: Lease, worker: WorkerRecord) -> dict[str, str | int]:
    return {
        "sparring.job": lease.job_id,
        "sparring.tenant": lease.tenant,
        "sparring.kind": lease.kind,
        "sparring.unit": lease.unit,
        "sparring.attempt": lease.attempt,
        "sparring.worker": worker.id,
        "sparring.lane": worker.lane,
    }
