"""What the parts of the fake share: what was called, and breaking off on purpose."""

from __future__ import annotations

import time
from collections import defaultdict, deque

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

MIB = 2**20


def status_of(code, message, *, reason="", violations=(), retry_after_s=None, metadata=None):
    """A google.rpc.Status with details, as the gateway sends it."""
    details = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="sparring", metadata=metadata))
    if violations:
        fields = [error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(retry_after_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        holder = any_pb2.Any()
        holder.Pack(detail)
        packed.append(holder)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


class Base:
    def __init__(self):
        super().__init__()
        self.calls = []  # (rpc, request)
        self.keys = []  # (rpc, what it carried as authorization)
        self.failures = defaultdict(deque)  # rpc -> Status or (code, text) to abort the next calls with
        self.cuts = defaultdict(deque)  # rpc -> messages after which the next streams break; (messages,) ends them
        self.delays_s = {}  # rpc -> seconds before it is looked at

    def enter(self, rpc, request, context):
        self.calls.append((rpc, request))
        self.keys.append((rpc, dict(context.invocation_metadata()).get("authorization", "")))
        time.sleep(self.delays_s.get(rpc, 0))
        if self.failures[rpc]:
            self.abort(context, self.failures[rpc].popleft())

    def abort(self, context, failure):
        if isinstance(failure, status_pb2.Status):
            code = next(c for c in grpc.StatusCode if c.value[0] == failure.code)
            context.set_trailing_metadata((("grpc-status-details-bin", failure.SerializeToString()),))
            context.abort(code, failure.message)
        context.abort(*failure)

    def cut_after(self, rpc):
        return self.cuts[rpc].popleft() if self.cuts[rpc] else None

    def missing(self, context, what):
        self.abort(context, status_of(grpc.StatusCode.NOT_FOUND, f"there is no {what}", reason="RESOURCE_NOT_FOUND"))

    def requests(self, rpc):
        return [request for name, request in self.calls if name == rpc]
