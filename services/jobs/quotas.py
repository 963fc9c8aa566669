"""Quotas: how they are written, and what is said of one that is used up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.errors import QuotaExceeded
from services.jobs.record import Quota, Usage

_SAYINGS = {
    "max_queued_jobs": "{used:,.12g} of its jobs wait and {most:,.12g} may; wait until some have begun, or cancel some",
    "max_giga_ops": (
        "its jobs that have not ended are estimated at {used:,.12g} giga-operations, and with this one they would have "
        "more than {most:,.12g}; wait until some have ended, or ask for fewer samples or steps"
    ),
    "max_artifact_bytes": (
        "its artifacts and uploads have {used:,.12g} bytes and may have {most:,.12g}; delete some, or wait until some "
        "lapse"
    ),
}


def check_quota(tenant: str, reply: Sequence[Any]) -> None:
    """Raise QuotaExceeded if that is what a function answered: QUOTA, the limit, what is used, what may be."""
    if reply[0] == b"QUOTA":
        limit = reply[1].decode()
        said = _SAYINGS[limit].format(used=float(reply[2]), most=float(reply[3]))
        raise QuotaExceeded(f"tenants/{tenant}", limit, f"the quota {limit} of tenant {tenant} is used up: {said}")


def quota_fields(quota: Quota) -> list[Any]:
    """A quota as pairs of its hash. ValueError: a limit below 0, or a weight that is no positive number."""
    limits = {name: value for name, value in asdict(quota).items() if name != "weight"}
    wrong = [name for name, value in limits.items() if not 0 <= value < math.inf]
    if wrong or not 0 < quota.weight < math.inf:
        raise ValueError(f"{', '.join(wrong or ['weight'])} of a quota must be a number, and a weight more than 0")
    return [part for name, value in asdict(quota).items() for part in (name, repr(value))]


def quota(held: Mapping[bytes, bytes]) -> Quota:
    """A quota from the tenant's hash; a field that was never set has its default."""
    return Quota(
        max_queued_jobs=int(held.get(b"max_queued_jobs", 0)),
        max_running_jobs=int(held.get(b"max_running_jobs", 0)),
        max_artifact_bytes=int(held.get(b"max_artifact_bytes", 0)),
        max_giga_ops=float(held.get(b"max_giga_ops", 0)),
        weight=float(held.get(b"weight", 1)),
    )


def usage(held: Mapping[bytes, bytes], artifact_bytes: bytes) -> Usage:
    """What is used, from the tenant's hash."""
    return Usage(
        queued_jobs=int(held.get(b"queued", 0)),
        running_jobs=int(held.get(b"running", 0)),
        artifact_bytes=int(artifact_bytes),
        giga_ops=int(held.get(b"mega_ops", 0)) / 1000,
    )
