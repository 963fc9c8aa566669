"""A job's record as clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2
from sparring.v1 import jobs_pb2

from services.gateway import needs
from services.jobs.record import JobRecord, QueuePosition
from services.jobs.states import State
from services.telemetry.context import TraceContext

_LANES = {"any": "", "cpu": "CPU ", "gpu": "GPU "}


def job(record: JobRecord, position: QueuePosition | None = None) -> jobs_pb2.Job:
    """Return the whole of a job; `position` says why one that is QUEUED waits."""
    message = jobs_pb2.Job.FromString(record.spec)
    message.name = f"jobs/{record.id}"
    message.state = state(record.state)
    message.progress.CopyFrom(progress(record.progress))
    message.create_time.CopyFrom(timestamp(record.created_ms))
    if record.started_ms is not None:
        message.start_time.CopyFrom(timestamp(record.started_ms))
    if record.ended_ms is not None:
        message.end_time.CopyFrom(timestamp(record.ended_ms))
    message.etag = record.etag
    message.last_event_id = record.last_event
    message.display_name = record.display_name
    traced = TraceContext.of_text(record.trace)
    if traced is not None and traced.sampled:
        message.trace = traced.trace_id
    if record.error:
        message.error.CopyFrom(status_pb2.Status.FromString(record.error))
    if record.state is State.SUCCEEDED:
        message.result.CopyFrom(result(record))
    if record.state is State.QUEUED and position is not None:
        message.waiting.CopyFrom(waiting(record, position))
    return message


def summary(record: JobRecord, position: QueuePosition | None = None) -> jobs_pb2.Job:
    """Return a job as a list shows it: without its resolution and without the rows of its result."""
    message = job(record, position)
    message.ClearField("resolution")
    if message.HasField("result"):
        message.result.ClearField("rows")
    return message


def result(record: JobRecord) -> jobs_pb2.JobResult:
    """Return what a job left; the model that it trained under the id it got, which may not be the one it asked for."""
    message = jobs_pb2.JobResult.FromString(record.result)
    if record.kind == "training" and record.registered:
        message.model = f"models/{record.registered}"
    return message


def state(value: State) -> jobs_pb2.Job.State.ValueType:
    """Return a state as the contract numbers it."""
    return jobs_pb2.Job.State.Value(f"STATE_{value.name}")


def progress(values: Mapping[str, Any]) -> jobs_pb2.Progress:
    """Return how far a job has come, from the record or from an event."""
    return jobs_pb2.Progress(**values)


def waiting(record: JobRecord, position: QueuePosition) -> jobs_pb2.Waiting:
    """Say why a queued job waits, and what would help."""
    reason, message = _reason(record, position)
    return jobs_pb2.Waiting(
        reason=reason,
        jobs_ahead=position.jobs_ahead,
        workers_listening=position.workers_listening,
        message=message,
        jobs=[f"jobs/{job_id}" for job_id in position.awaited],
    )


def timestamp(time_ms: int) -> Timestamp:
    """Return a time from milliseconds since 1970."""
    result = Timestamp()
    result.FromMilliseconds(time_ms)
    return result


def _reason(record: JobRecord, position: QueuePosition) -> tuple[jobs_pb2.Waiting.Reason.ValueType, str]:
    """Choose the cause that the client can do most about."""
    lane = _LANES[record.lane]
    if position.awaited:
        *others, last = (f"jobs/{job_id}" for job_id in position.awaited)
        names = f"{', '.join(others)} and {last}" if others else last
        return jobs_pb2.Waiting.REASON_DEPENDENCY, f"it goes on once {names} has succeeded; see what that waits for"
    if position.workers_listening == 0 and position.offers:
        return jobs_pb2.Waiting.REASON_NO_WORKER, needs.unmet(record.need, lane, position.offers)
    if position.workers_listening == 0:
        return (
            jobs_pb2.Waiting.REASON_NO_WORKER,
            f"no {lane}worker has been heard of in the last 15 seconds; start one, or look at the workers' log",
        )
    if position.recovering:
        return (
            jobs_pb2.Waiting.REASON_RECOVERING,
            "a worker was lost with a unit of this job; the next free worker takes the unit again",
        )
    if position.jobs_ahead > 0:
        jobs = "1 job is" if position.jobs_ahead == 1 else f"{position.jobs_ahead} jobs are"
        workers = "1 worker" if position.workers_listening == 1 else f"{position.workers_listening} workers"
        return (
            jobs_pb2.Waiting.REASON_BEHIND_OTHERS,
            f"{jobs} before it for {workers}; more {lane}workers would help",
        )
    return jobs_pb2.Waiting.REASON_STARTING, "the next free worker takes it"
