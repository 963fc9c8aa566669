"""An error as clients get it: google.rpc.Status with ErrorInfo, and with what else fits its kind.

A status travels in the trailing metadata, of which clients accept about 8 KiB. So the message and the list of bad
fields are cut where they would not fit, and say so.
"""

from __future__ import annotations

import logging
import secrets

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.errors import (
    InvalidArgument,
    NotFound,
    QuotaExceeded,
    ResourceExhausted,
    SparringError,
    Unavailable,
    Violation,
)

DOMAIN = "sparring"
MAX_MESSAGE_BYTES = 600
MAX_VIOLATIONS_BYTES = 3500

log = logging.getLogger(__name__)


def of_error(error: SparringError) -> status_pb2.Status:
    """Turn an error that is meant for clients into its status."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status = status_pb2.Status(
        code=code_pb2.Code.Value(error.code),
        message=_cut(error.message, MAX_MESSAGE_BYTES),
    )
    for detail in (info, *_details(error)):
        status.details.add().Pack(detail)
    return status


def of_unexpected(error: BaseException, where: str) -> status_pb2.Status:
    """Turn any other exception into INTERNAL with an id; what happened stands in the log beside that id, not here."""
    incident = secrets.token_hex(6)
    log.error("incident %s in %s", incident, where, exc_info=error)
    status = status_pb2.Status(code=code_pb2.INTERNAL, message=f"internal error {incident}; the gateway's log has it")
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"incident": incident})
    )
    return status


def _details(error: SparringError) -> list[Message]:
    """Return what the kind of an error has to say beside its reason."""
    if isinstance(error, InvalidArgument):
        return [_bad_request(error.violations)]
    if isinstance(error, NotFound):
        return [
            error_details_pb2.ResourceInfo(
                resource_type=error.resource_type, resource_name=error.name, description=_cut(error.message, 300)
            )
        ]
    if isinstance(error, ResourceExhausted | Unavailable):
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        retry = error_details_pb2.RetryInfo(retry_delay=delay)
        return [_quota_failure(error), retry] if isinstance(error, QuotaExceeded) else [retry]
    return []


def _bad_request(violations: tuple[Violation, ...]) -> error_details_pb2.BadRequest:
    """List the bad fields, as many as fit; the last entry says how many did not."""
    bad = error_details_pb2.BadRequest()
    room = MAX_VIOLATIONS_BYTES
    for index, violation in enumerate(violations):
        entry = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(violation.field, 200), description=_cut(violation.description, 300)
        )
        room -= entry.ByteSize() + 3
        if room < 0:
            bad.field_violations.add(field="", description=f"and {len(violations) - index} more")
            break
        bad.field_violations.append(entry)
    return bad


def _quota_failure(error: QuotaExceeded) -> error_details_pb2.QuotaFailure:
    """Say whose quota it was."""
    violation = error_details_pb2.QuotaFailure.Violation(subject=error.subject, description=_cut(error.message, 300))
    return error_details_pb2.QuotaFailure(violations=[violation])


def _cut(text: str, limit: int) -> str:
    """Cut a text to at most `limit` bytes of UTF-8."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "..."
