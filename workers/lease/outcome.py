"""What became of a unit, as a value: the computation returns it, the loop writes it down under the lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.rpc.code_pb2 import FAILED_PRECONDITION, Code
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from services.jobs.record import Registration

DOMAIN = "sparring"


@dataclass(frozen=True)
class Committed:
    """A unit is done; its result is the artifact `digest`."""

    digest: str
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """The closing unit is done, and so is the job; `result` is a serialized JobResult.

    `otherwise` is what to write down where the name of `registration` was taken meanwhile.
    """

    result: bytes
    registration: Registration | None = None
    otherwise: Finished | None = None


@dataclass(frozen=True)
class Failed:
    """The job can't succeed; `error` is a serialized google.rpc.Status."""

    error: bytes
    registration: Registration | None = None


Outcome = Committed | Finished | Failed


def status(reason: str, message: str, *, code: Code.ValueType = FAILED_PRECONDITION) -> Status:
    """A google.rpc.Status with an ErrorInfo: `reason` for programs, `message` for people."""
    result = Status(code=code, message=message)
    result.details.add().Pack(ErrorInfo(reason=reason, domain=DOMAIN))
    return result
