"""The part of a call in a trace, and in the lines of the log.

A call that changes something begins a trace where its client sent none. One that only reads belongs to the client's
trace, if there is one, and begins none: a console that looks every second would bury the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from services.gateway.access import Access
from services.gateway.audit import Call
from services.telemetry import logs, tracing
from services.telemetry.context import TraceContext
from services.telemetry.tracing import Span

# Names come from clients, who may write anything; the ids of jobs are made here.
_JOB = re.compile(r"jobs/([0-9a-f]{20})")


@contextmanager
def traced(
    call: Call, method: str, context: grpc.aio.ServicerContext[object, object], rule: Access | None
) -> Iterator[None]:
    """Be the span of a call; `call` says at its end what came of it. A malformed context counts as none."""
    changes = rule is not None and rule.changes
    if rule is None or not (changes or tracing.enabled()):
        yield
        return
    parent = TraceContext.of_metadata(context.invocation_metadata() or ())
    service, _, name = method.lstrip("/").rpartition("/")
    about = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
    span = tracing.span(f"{service}/{name}", about, parent=parent, begins=changes, kind="server")
    # Where nobody records, a job carries what the client sent.
    with tracing.within(parent), span:
        here = tracing.here()
        if here is not None:
            logs.bind(trace=here.trace_id)
        try:
            yield
        finally:
            _conclude(call, span)


def about(resource: str) -> None:
    """Say in every line of the rest of the call which job it is about, if it is about one."""
    found = _JOB.fullmatch(resource)
    if found is not None:
        logs.bind(job=found[1])
        tracing.annotate({"sparring.job": found[1]})


def _conclude(call: Call, span: Span) -> None:
    span.set({"rpc.grpc.status_code": grpc.StatusCode[call.code].value[0]})
    if call.identity is not None:
        span.set({"sparring.tenant": call.identity.tenant})
    if call.code != "OK":
        span.fail(call.reason or call.code)
