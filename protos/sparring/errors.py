"""What can go wrong between a client and the service.

    ServiceError
    ├── InvalidArgument     (ValueError)        the request can't be right; `violations` lists every bad field
    ├── NotFound            (LookupError)       a job, model, dataset or artifact that is not there
    ├── AlreadyExists                           a name that is taken
    ├── FailedPrecondition                      right request, wrong state
    ├── Aborted                                 it changed since it was read (etag)
    ├── OutOfRange                              an offset or event beyond the end
    ├── Unauthenticated     (PermissionError)   no key, or none that the service knows
    ├── PermissionDenied    (PermissionError)   the key's role does not allow it
    ├── ResourceExhausted                       the service is full; come back after `retry_after_s`
    │   └── QuotaExceeded                       the tenant's own quota, `quota`, is used up
    ├── Unavailable                             the service can't work now, or broke the call off
    ├── Unreachable         (ConnectionError)   nothing answered at the address
    ├── TimedOut            (TimeoutError)      no answer within the deadline
    ├── DataLoss                                bytes that do not have their SHA-256
    └── JobFailed                               a job that ended other than SUCCEEDED; `job` is the job

Every leaf but QuotaExceeded, Unreachable and JobFailed stands for one gRPC code; a code that is not here is a plain
ServiceError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from sparring.v1.jobs_pb2 import Job


@dataclass(frozen=True)
class Violation:
    """One bad field: its path in the request, e.g. `attack.attack.pgd.steps`, and what is wrong with it."""

    field: str
    description: str


class ServiceError(Exception):
    """Base of all; `code` is the gRPC code's name, `reason` a stable UPPER_SNAKE_CASE word, `message` is for people."""

    code = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str = "",
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.reason = reason
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.metadata = {} if metadata is None else dict(metadata)

    def __str__(self) -> str:
        return self.message


class InvalidArgument(ServiceError, ValueError):
    """Raised when a request can't be right whatever the state; lists every bad field."""

    code = "INVALID_ARGUMENT"

    @classmethod
    def of(cls, violations: Iterable[Violation], *, reason: str = "BAD_PARAMETER") -> Self:
        """Make the error that the client itself raises before anything is sent."""
        found = tuple(violations)
        return cls("; ".join(f"{v.field}: {v.description}" for v in found), reason=reason, violations=found)


class NotFound(ServiceError, LookupError):
    """Raised when a named resource is not there."""

    code = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """Raised when a name is taken by something else."""

    code = "ALREADY_EXISTS"


class FailedPrecondition(ServiceError):
    """Raised when the request is right but the resource's state does not allow it."""

    code = "FAILED_PRECONDITION"


class Aborted(ServiceError):
    """Raised when the resource changed since it was read; read it again."""

    code = "ABORTED"


class OutOfRange(ServiceError):
    """Raised when an offset or an event number is beyond the end."""

    code = "OUT_OF_RANGE"


class ResourceExhausted(ServiceError):
    """Raised when the service has no room; `retry_after_s` says when to come back."""

    code = "RESOURCE_EXHAUSTED"


class QuotaExceeded(ResourceExhausted):
    """Raised when the tenant would use more than it may; room comes when its jobs end or its artifacts are deleted."""

    @property
    def quota(self) -> str:
        """The field of `Quota` that is used up, e.g. "max_queued_jobs"; empty where the service did not say."""
        return self.metadata.get("quota", "")


class Unauthenticated(ServiceError, PermissionError):
    """Raised when the service asks for a key and got none, or none that it knows."""

    code = "UNAUTHENTICATED"


class PermissionDenied(ServiceError, PermissionError):
    """Raised when the key's role does not allow the call."""

    code = "PERMISSION_DENIED"


class Unavailable(ServiceError):
    """Raised when the service is there but can't work now, e.g. its store is down; retries did not help."""

    code = "UNAVAILABLE"


class Unreachable(ServiceError, ConnectionError):
    """Raised when nothing answered at the address."""

    code = "UNAVAILABLE"


class TimedOut(ServiceError, TimeoutError):
    """Raised when no answer came within the deadline."""

    code = "DEADLINE_EXCEEDED"


class DataLoss(ServiceError):
    """Raised when bytes do not have the SHA-256 that they should have."""

    code = "DATA_LOSS"


class JobFailed(ServiceError):
    """Raised on request when a job ended FAILED, CANCELLED or QUARANTINED; `job` is the job."""

    code = "JOB_FAILED"

    def __init__(self, job: Job) -> None:
        state = job.State.Name(job.state).removeprefix("STATE_")
        why = f": {job.error.message}" if job.error.message else ""
        super().__init__(f"{job.name} ended {state}{why}", reason=state)
        self.job = job
