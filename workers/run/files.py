"""The files of a result."""

from __future__ import annotations

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
