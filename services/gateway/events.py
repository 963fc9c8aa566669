"""A job's events as WatchJob sends them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from google.rpc import status_pb2
from sparring.v1 import jobs_pb2

from services.gateway import render
from services.jobs.record import Event, JobRecord
from services.jobs.states import State

Payload = Mapping[str, Any]


def response(event: Event) -> jobs_pb2.WatchJobResponse:
    """Return the message for one event of the store."""
    message = jobs_pb2.WatchJobResponse(event_id=event.id, time=render.timestamp(event.time_ms))
    _KINDS[event.type](message, event.payload)
    return message


def heartbeat(event_id: int) -> jobs_pb2.WatchJobResponse:
    """Return the message that says that the stream lives."""
    message = jobs_pb2.WatchJobResponse(event_id=event_id, heartbeat=jobs_pb2.Heartbeat())
    message.time.GetCurrentTime()
    return message


def snapshot(record: JobRecord) -> jobs_pb2.WatchJobResponse:
    """Return the job as it stands, in place of events that are no longer held."""
    message = jobs_pb2.WatchJobResponse(event_id=record.last_event, snapshot=render.job(record))
    message.time.GetCurrentTime()
    return message


def _state(message: jobs_pb2.WatchJobResponse, payload: Payload) -> None:
    message.state_change.state = render.state(State(payload["state"]))
    if "error" in payload:
        message.state_change.error.CopyFrom(status_pb2.Status.FromString(base64.b64decode(payload["error"])))


def _progress(message: jobs_pb2.WatchJobResponse, payload: Payload) -> None:
    message.progress.CopyFrom(render.progress(payload))


def _unit(message: jobs_pb2.WatchJobResponse, payload: Payload) -> None:
    message.unit_change.CopyFrom(
        jobs_pb2.UnitChange(
            unit=payload["unit"],
            kind=jobs_pb2.UnitChange.Kind.Value(f"KIND_{payload['kind'].upper()}"),
            worker=payload["worker"],
            attempt=payload["attempt"],
            cause=payload.get("cause", ""),
        )
    )


def _metric(message: jobs_pb2.WatchJobResponse, payload: Payload) -> None:
    message.metric.CopyFrom(jobs_pb2.Metric(name=payload["name"], value=payload["value"], step=payload["step"]))


_KINDS: Mapping[str, Callable[[jobs_pb2.WatchJobResponse, Payload], None]] = {
    "state": _state,
    "progress": _progress,
    "unit": _unit,
    "metric": _metric,
}
