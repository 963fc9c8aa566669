"""Every error that Sparring tells a client about.

    SparringError
    ├── InvalidArgument          INVALID_ARGUMENT     every bad field at once
    ├── NotFound                 NOT_FOUND            a resource that is not there
    ├── AlreadyExists            ALREADY_EXISTS       a name that is taken
    ├── FailedPrecondition       FAILED_PRECONDITION  right request, wrong state
    ├── Aborted                  ABORTED              somebody else was faster (etag)
    ├── OutOfRange               OUT_OF_RANGE         an offset or event beyond the end
    ├── Unauthenticated          UNAUTHENTICATED      no key, or none that is known
    ├── PermissionDenied         PERMISSION_DENIED    the key's role does not allow it
    ├── DeadlineExceeded         DEADLINE_EXCEEDED    a stream that stood still for too long
    ├── ResourceExhausted        RESOURCE_EXHAUSTED   full; come back after `retry_after_s`
    │   └── QuotaExceeded                             the tenant's own quota is used up
    ├── Unavailable              UNAVAILABLE          the store can't be reached; come back after `retry_after_s`
    ├── DataLoss                 DATA_LOSS            bytes that do not have their digest
    └── LeaseLost                ABORTED              a worker's token is stale; never leaves a worker

Each carries a `reason` (UPPER_SNAKE_CASE, stable, for programs) and a message that says what to do (for people).
`services.gateway.status` turns them into google.rpc.Status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One bad field: its path in the request, e.g. `attack.attack.pgd.steps`, and what is wrong with it."""

    field: str
    description: str


class SparringError(Exception):
    """Base of all; `code` is the name of a gRPC status code."""

    code = "INTERNAL"
    default_reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = self.default_reason if reason is None else reason
        self.metadata = dict(metadata or {})


class InvalidArgument(SparringError):
    """Raised when a request can't be right whatever the state; lists every bad field."""

    code = "INVALID_ARGUMENT"
    default_reason = "INVALID_FIELDS"

    def __init__(self, violations: Sequence[Violation], *, reason: str | None = None) -> None:
        listed = "; ".join(f"{v.field}: {v.description}" for v in violations)
        super().__init__(listed, reason=reason)
        self.violations = tuple(violations)


class NotFound(SparringError):
    """Raised when a named resource is not there."""

    code = "NOT_FOUND"
    default_reason = "RESOURCE_NOT_FOUND"

    def __init__(self, resource_type: str, name: str, message: str | None = None) -> None:
        super().__init__(message or f"there is no {resource_type} {name!r}", metadata={"resource": name})
        self.resource_type = resource_type
        self.name = name


class AlreadyExists(SparringError):
    """Raised when a name is taken by something else."""

    code = "ALREADY_EXISTS"
    default_reason = "NAME_TAKEN"


class FailedPrecondition(SparringError):
    """Raised when the request is right but the resource's state does not allow it."""

    code = "FAILED_PRECONDITION"
    default_reason = "WRONG_STATE"


class Aborted(SparringError):
    """Raised when the resource changed since the caller read it."""

    code = "ABORTED"
    default_reason = "ETAG_MISMATCH"


class OutOfRange(SparringError):
    """Raised when an offset or an event number is beyond the end."""

    code = "OUT_OF_RANGE"
    default_reason = "OUT_OF_RANGE"


class Unauthenticated(SparringError):
    """Raised when a call carries no key, or one that is unknown, revoked or expired."""

    code = "UNAUTHENTICATED"
    default_reason = "KEY_UNKNOWN"


class PermissionDenied(SparringError):
    """Raised when the key's role does not allow the call."""

    code = "PERMISSION_DENIED"
    default_reason = "ROLE_TOO_LOW"


class DeadlineExceeded(SparringError):
    """Raised when a client lets a stream stand still for too long."""

    code = "DEADLINE_EXCEEDED"
    default_reason = "STREAM_IDLE"


class ResourceExhausted(SparringError):
    """Raised when there is no room; `retry_after_s` says when to come back."""

    code = "RESOURCE_EXHAUSTED"
    default_reason = "STORE_FULL"

    def __init__(self, message: str, *, reason: str | None = None, retry_after_s: float = 30.0) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s


class QuotaExceeded(ResourceExhausted):
    """Raised when a tenant would use more than its quota; `subject` is the tenant, `limit` the field of its quota."""

    default_reason = "QUOTA_EXCEEDED"

    def __init__(self, subject: str, limit: str, message: str, *, retry_after_s: float = 30.0) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.subject = subject
        self.limit = limit
        self.metadata = {"quota": limit}


class Unavailable(SparringError):
    """Raised when the store can't be reached or is loading; `retry_after_s` says when to come back."""

    code = "UNAVAILABLE"
    default_reason = "STORE_UNAVAILABLE"

    def __init__(self, message: str, *, reason: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s


class DataLoss(SparringError):
    """Raised when bytes do not have the digest that they should have."""

    code = "DATA_LOSS"
    default_reason = "DIGEST_MISMATCH"


class LeaseLost(SparringError):
    """Raised in a worker whose fencing token is stale: its unit belongs to another now, and it must stop."""

    code = "ABORTED"
    default_reason = "LEASE_LOST"
