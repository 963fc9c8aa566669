"""From what the Redis functions answer to what `record` names. Pure: no connection, no clock."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.jobs.needs import Need
from services.jobs.record import Event, JobLane, JobRecord, Kind, Lease, UnitResult, WorkerRecord
from services.jobs.states import State

ERROR_DOMAIN = "sparring"


def job(flat: Sequence[bytes] | Mapping[bytes, bytes]) -> JobRecord:
    """A job from its hash, as pairs in a row or as a mapping."""
    fields = dict(flat) if isinstance(flat, Mapping) else dict(zip(flat[::2], flat[1::2], strict=True))
    progress = json.loads(fields[b"progress"])
    return JobRecord(
        id=fields[b"id"].decode(),
        tenant=fields[b"tenant"].decode(),
        kind=cast("Kind", fields[b"kind"].decode()),
        lane=cast("JobLane", fields[b"lane"].decode()),
        state=State(int(fields[b"state"])),
        spec=fields[b"spec"],
        units=int(fields[b"units"]),
        units_done=progress["units_done"],
        version=int(fields[b"version"]),
        created_ms=int(fields[b"created"]),
        started_ms=_whole(fields.get(b"started")),
        ended_ms=_whole(fields.get(b"ended")),
        last_event=int(fields[b"last_event"]),
        display_name=fields[b"display_name"].decode(),
        error=_error(fields),
        result=fields.get(b"result", b""),
        progress=progress,
        registered=fields.get(b"registered", b"").decode(),
        deadline_ms=int(fields[b"deadline_ms"]),
        queue_ms=int(fields[b"queue_ms"]),
        giga_ops=int(fields[b"mega_ops"]) / 1000,
        trace=fields.get(b"trace", b"").decode(),
        need=Need.of_text(fields.get(b"need", b"").decode()),
    )


def _whole(text: bytes | None) -> int | None:
    return None if text is None else int(text)


def _error(fields: Mapping[bytes, bytes]) -> bytes:
    for name, status in _STATUSES.items():
        if (why := fields.get(name.encode())) is not None:
            return status(**json.loads(why))
    return fields.get(b"error", b"")


def quarantine_status(*, unit: int, attempts: int, worker: str, cause: str) -> bytes:
    """The google.rpc.Status of a job whose unit was lost too often; `cause` is how it was lost the last time."""
    message = (
        f"unit {unit} was lost with its worker {attempts} times, the last time with {worker} ({cause}); "
        "see that worker's log (out of memory?), then retry the job"
    )
    metadata = {"unit": str(unit), "attempts": str(attempts), "worker": worker, "cause": cause}
    return _status(code_pb2.ABORTED, message, "UNIT_LOST", metadata)


def overdue_status(*, limit: Literal["deadline", "queue"], limit_ms: int) -> bytes:
    """The google.rpc.Status of a job that went beyond one of its limits."""
    seconds = f"{limit_ms / 1000:.12g}"
    if limit == "deadline":
        reason, field = "DEADLINE_EXCEEDED", "limits.deadline_seconds"
        message = f"the job had not ended {seconds} s after it was accepted, its {field}; "
    else:
        reason, field = "QUEUE_TIME_EXCEEDED", "limits.queue_seconds"
        message = f"no worker had taken the job {seconds} s after it could be taken, its {field}; "
    advice = f"retry it, which keeps its finished units and begins its limits anew, or ask again with a larger {field}"
    return _status(code_pb2.DEADLINE_EXCEEDED, message + advice, reason, {"limit": field, "seconds": seconds})


def dependency_status(*, job: str, state: int, root: str, root_state: int) -> bytes:
    """The google.rpc.Status of a job that came after `job`, which ended so; `root` is where that began."""
    ended = "succeeded but left no model" if state == State.SUCCEEDED else f"ended {State(state).name}"
    began = "" if root == job else f" because jobs/{root} ended {State(root_state).name}"
    first = "ask for both again" if state == State.SUCCEEDED else f"retry jobs/{root}, then those after it in turn"
    message = f"jobs/{job}, which this job waited for, {ended}{began}; {first}"
    metadata = {"job": f"jobs/{job}", "state": State(state).name, "root": f"jobs/{root}"}
    return _status(code_pb2.FAILED_PRECONDITION, message, "DEPENDENCY_FAILED", metadata)


# Fields of a job and of its last event that the functions write, and the error that each of them stands for.
_STATUSES: dict[str, Callable[..., bytes]] = {
    "lost": quarantine_status,
    "overdue": overdue_status,
    "blocked": dependency_status,
}


def _status(code: int, message: str, reason: str, metadata: Mapping[str, str]) -> bytes:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=metadata))
    status = status_pb2.Status(code=code, message=message, details=[detail])
    return bytes(status.SerializeToString(deterministic=True))


def lease(reply: Sequence[Any]) -> Lease:
    """A lease from the answer of `claim`."""
    job_id, tenant, unit, units, token, attempt, kind, spec, checkpoint, deadline_ms, trace, ready_ms, first = reply
    return Lease(
        job_id=job_id.decode(),
        tenant=tenant.decode(),
        unit=unit,
        units=units,
        token=int(token),
        attempt=attempt,
        closing=unit == units,
        kind=cast("Kind", kind.decode()),
        spec=spec,
        checkpoint=checkpoint.decode() if checkpoint else None,
        deadline_ms=int(deadline_ms),
        trace=trace.decode(),
        ready_ms=int(ready_ms),
        first_token=int(first),
    )


def event(entry: tuple[bytes, Mapping[bytes, bytes]]) -> Event:
    """An event from its entry in the stream."""
    number, fields = entry
    payload = json.loads(fields[b"p"])
    error = fields[b"e"]
    for name in _STATUSES.keys() & payload.keys():
        error = _STATUSES[name](**payload.pop(name))
    if error:
        payload["error"] = base64.b64encode(error).decode()
    return Event(
        id=int(number.partition(b"-")[0]), time_ms=int(fields[b"ms"]), type=fields[b"t"].decode(), payload=payload
    )


def unit_results(flat: Sequence[bytes], units: int) -> list[UnitResult]:
    """The committed units in their order, without the closing one, whose result is the job's."""
    found = []
    for number, text in zip(flat[::2], flat[1::2], strict=True):
        _token, digest, stats = json.loads(text)
        if int(number) < units:
            found.append(UnitResult(unit=int(number), digest=digest, stats=json.loads(stats)))
    return sorted(found, key=lambda result: result.unit)


def worker(text: bytes) -> WorkerRecord:
    """A worker from its entry: the server's time of its last word, then its record."""
    seen_ms, _, text = text.partition(b" ")
    # A worker of another version may say more than is known here, and less.
    record = {name: value for name, value in json.loads(text).items() if name in WorkerRecord.__dataclass_fields__}
    return WorkerRecord(**{**record, "last_seen_ms": int(seen_ms)})
