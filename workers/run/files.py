"""The files of a result."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sparring.v1 import jobs_pb2

from workers.run.unit import Unit


def keep(unit: Unit, role: str, content: bytes, media_type: str, suffix: str) -> jobs_pb2.JobArtifact:
    """Put one file of a result."""
    return jobs_pb2.JobArtifact(
        role=role,
        artifact=f"artifacts/{unit.put(content, media_type)}",
        size_bytes=len(content),
        filename=f"{unit.lease.job_id}-{role}.{suffix}",
    )


def keep_parts(
    unit: Unit, role: str, parts: Callable[[], Iterable[bytes]], media_type: str, suffix: str
) -> jobs_pb2.JobArtifact:
    """Put one file of a result piece by piece; `parts` is called again where the store was away meanwhile."""
    sha256, size = unit.put_parts(parts, media_type)
    return jobs_pb2.JobArtifact(
        role=role,
        artifact=f"artifacts/{sha256}",
        size_bytes=size,
        filename=f"{unit.lease.job_id}-{role}.{suffix}",
    )
