"""From the end of a gRPC call to an error of `sparring.errors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sparring import security
from sparring.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    QuotaExceeded,
    ResourceExhausted,
    ServiceError,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unreachable,
    Violation,
)

if TYPE_CHECKING:
    from google.rpc.status_pb2 import Status

DETAILS_KEY = "grpc-status-details-bin"
# gRPC's words for a call that this side ended. Any other CANCELLED is of a service that stops and waits no longer.
OWN_CANCELS = ("Channel closed!", "Locally cancelled by application!")

LEAVES: Mapping[str, type[ServiceError]] = {
    leaf.code: leaf
    for leaf in (
        InvalidArgument,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Aborted,
        OutOfRange,
        Unauthenticated,
        PermissionDenied,
        ResourceExhausted,
        Unavailable,
        TimedOut,
        DataLoss,
    )
}


def from_status(code: str, status: Status) -> ServiceError:
    """Turn a google.rpc.Status with its details into the leaf of its gRPC code."""
    from google.rpc import error_details_pb2 as details

    info, bad, retry = details.ErrorInfo(), details.BadRequest(), details.RetryInfo()
    for packed in status.details:
        for known in (info, bad, retry):
            packed.Unpack(known)
    violations = [Violation(v.field, v.description) for v in bad.field_violations]
    leaf = QuotaExceeded if info.reason == "QUOTA_EXCEEDED" else LEAVES.get(code, ServiceError)
    return leaf(
        status.message,
        code=code,
        reason=info.reason,
        violations=violations,
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None,
        metadata=info.metadata,
    )


def from_details(code: str, text: str, details: bytes | None, target: str, *, secure: bool = False) -> ServiceError:
    """Turn the end of a call into an error: its code's name, its text, and its packed google.rpc.Status if it has one.

    UNAVAILABLE without a Status was made by the transport, not by the service: nothing answered. `secure`: over TLS.
    """
    if details is not None:
        from google.rpc.status_pb2 import Status

        status = Status.FromString(details)
        if not status.message:
            status.message = text
        return from_status(code, status)
    if code == "UNAVAILABLE":
        return _unreachable(text, target, secure=secure)
    if code == "CANCELLED" and not any(own in text for own in OWN_CANCELS):
        broken_off = f"{target} broke the call off ({text}); it is probably being stopped, try again"
        return Unavailable(broken_off, code=code, reason="BROKEN_OFF")
    if code == "DEADLINE_EXCEEDED":
        return TimedOut(f"{target} did not answer in time ({text}); give a longer timeout_s", reason="DEADLINE")
    if code == "UNIMPLEMENTED":
        return ServiceError(f"{target} does not know this call ({text}); is it another version of Sparring?", code=code)
    return LEAVES.get(code, ServiceError)(text, code=code)


def _unreachable(text: str, target: str, *, secure: bool) -> Unreachable:
    metadata = {"details": text}
    mismatch = security.mismatch(text)
    if mismatch:
        return Unreachable(f"cannot connect to {target}: {mismatch}", reason="TLS_MISMATCH", metadata=metadata)
    # gRPC strings the causes together with colons; the last one is what happened.
    cause = text.rpartition(": ")[2]
    return Unreachable(
        f"cannot reach Sparring at {target} ({cause}); start one with `sparring up`, or give the right address"
        f"{security.hint(text, secure=secure)}",
        reason="UNREACHABLE",
        metadata=metadata,
    )


def from_rpc(error: Any, target: str, *, secure: bool = False) -> ServiceError:
    """Turn the exception of a gRPC call, blocking or asyncio, into an error of this tree."""
    trailing = error.trailing_metadata()
    metadata = {} if trailing is None else {key: value for key, value in trailing if key == DETAILS_KEY}
    details = error.details()
    text = "" if details is None else details
    return from_details(error.code().name, text, metadata.get(DETAILS_KEY), target, secure=secure)
