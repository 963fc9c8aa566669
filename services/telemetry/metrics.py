"""Every metric of Sparring, once: its name, what it counts, its labels. docs/metrics.md has the table made of this.

Names begin with `sparring_` and end with their unit (`_seconds`, `_bytes`), counters with `_total`. A label's values
are known beforehand or few (methods, codes, kinds of jobs, lanes, models of device): never a job, a key or an
address; a tenant only where the operator has named it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Source = Literal["gateway", "worker", "exporter"]
Kind = Literal["counter", "gauge", "histogram"]

# What autoscalers read: units that wait (`state="ready"`) and that are worked on (`state="running"`), by lane.
UNITS = "sparring_units"

CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
UNIT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
LATE_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: `name` as Prometheus shows it, `help` in a sentence, who has it, and a histogram's upper bounds."""

    name: str
    kind: Kind
    source: Source
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


def _rows(source: Source, *rows: tuple[str, Kind, tuple[str, ...], str]) -> dict[str, Metric]:
    return {
        name: Metric(name=name, kind=kind, source=source, labels=labels, help=text, bounds=_BOUNDS.get(name, ()))
        for name, kind, labels, text in rows
    }


_BOUNDS: Mapping[str, tuple[float, ...]] = {
    "sparring_gateway_request_seconds": CALL_SECONDS,
    "sparring_gateway_loop_lag_seconds": LAG_SECONDS,
    "sparring_worker_unit_seconds": UNIT_SECONDS,
    "sparring_worker_heartbeat_late_seconds": LATE_SECONDS,
}

GATEWAY = _rows(
    "gateway",
    ("sparring_gateway_requests_total", "counter", ("method", "code"), "Calls that ended, by method and gRPC code."),
    ("sparring_gateway_request_seconds", "histogram", ("method",), "How long calls took that are no streams."),
    ("sparring_gateway_requests_in_flight", "gauge", (), "Calls under way that are no streams."),
    ("sparring_gateway_streams_open", "gauge", ("method",), "Streams that are open."),
    ("sparring_gateway_stream_messages_total", "counter", ("method",), "Messages sent on streams."),
    ("sparring_gateway_events_total", "counter", (), "Events of jobs sent to those who watch them."),
    ("sparring_gateway_received_bytes_total", "counter", (), "Bytes of artifacts and messages that clients sent."),
    ("sparring_gateway_sent_bytes_total", "counter", (), "Bytes of artifacts that clients were sent."),
    ("sparring_gateway_loop_lag_seconds", "histogram", (), "How much later than asked for the event loop woke up."),
    ("sparring_gateway_audit_entries_total", "counter", (), "Entries of the audit log that were to be kept."),
    ("sparring_gateway_audit_dropped_total", "counter", (), "Entries that were not kept, as too many waited."),
    ("sparring_gateway_audit_waiting", "gauge", (), "Entries that are not in the store yet."),
    ("sparring_gateway_refused_strangers_total", "counter", (), "Calls of callers whose tenant is not known."),
)

WORKER = _rows(
    "worker",
    ("sparring_worker_info", "gauge", ("lane", "device"), "1, with the lane and the model of the device."),
    ("sparring_worker_units_total", "counter", ("kind", "outcome"), "Units that the worker has parted with, and how."),
    ("sparring_worker_unit_seconds", "histogram", ("kind",), "How long units took that had a result."),
    ("sparring_worker_busy_seconds_total", "counter", (), "Time with a unit; its rate is the device's busy share."),
    ("sparring_worker_forwards_total", "counter", ("attack",), "Samples that attacks have sent through a model."),
    ("sparring_worker_backwards_total", "counter", ("attack",), "Samples whose gradient attacks have asked for."),
    ("sparring_worker_device_memory_bytes", "gauge", ("state",), "The GPU's memory; on a CPU, process and machine."),
    ("sparring_worker_out_of_memory_total", "counter", ("outcome",), "Batches made smaller, and jobs failed, for it."),
    ("sparring_worker_checkpoints_total", "counter", (), "Checkpoints of trainings that were kept."),
    ("sparring_worker_checkpoint_bytes_total", "counter", (), "Bytes of these checkpoints."),
    ("sparring_worker_heartbeat_late_seconds", "histogram", (), "How much later than planned a lease was renewed."),
    ("sparring_worker_cache_total", "counter", ("cache", "outcome"), "Models and datasets asked for, hit or miss."),
)

EXPORTER = _rows(
    "exporter",
    ("sparring_store_up", "gauge", (), "1: the store answers and has this version's functions."),
    ("sparring_exporter_read_seconds", "gauge", (), "How long the store took to be read."),
    (UNITS, "gauge", ("lane", "state"), "Units that wait (ready; lane any: for either) or are worked on (running)."),
    ("sparring_jobs", "gauge", ("state", "kind"), "Jobs that are kept, by state."),
    ("sparring_jobs_queued", "gauge", ("lane",), "Jobs that a worker might take; those that wait for jobs left out."),
    ("sparring_oldest_ready_seconds", "gauge", ("lane",), "For how long the first of these has waited."),
    ("sparring_jobs_submitted_total", "counter", ("kind",), "Jobs that were accepted."),
    ("sparring_submits_repeated_total", "counter", (), "Submits answered with the job that the same request made."),
    ("sparring_jobs_ended_total", "counter", ("state", "kind"), "Ends of jobs."),
    ("sparring_job_wait_seconds", "histogram", ("kind",), "From when a worker might take a job to when one did."),
    ("sparring_job_run_seconds", "histogram", ("kind",), "For how long some unit of an ended job was at work."),
    ("sparring_units_claimed_total", "counter", ("attempt",), "Leases, for the first attempt at a unit or again."),
    ("sparring_units_ended_total", "counter", ("outcome", "kind"), "Ends of leases: lost ran out, told was a death."),
    ("sparring_stale_tokens_total", "counter", ("call",), "Calls refused since another worker holds the unit now."),
    ("sparring_leases_overdue", "gauge", (), "Leases that ran out and that no gateway has taken back."),
    ("sparring_job_events_total", "counter", ("type",), "Events of jobs that were written down."),
    ("sparring_workers", "gauge", ("lane", "device", "state"), "Workers that were heard of lately, busy or idle."),
    ("sparring_doorbells", "gauge", ("lane",), "Bells that no worker has heard yet."),
    ("sparring_artifact_bytes", "gauge", (), "Bytes of all artifacts, and those that uploads have declared."),
    ("sparring_redis_memory_bytes", "gauge", ("state",), "Memory that the store uses, and its limit (0: none)."),
    ("sparring_redis_memory_ratio", "gauge", (), "Share of the limit; new work is refused above 0.8. 0: no limit."),
    ("sparring_tenant_jobs", "gauge", ("tenant", "state"), "Jobs of the tenants in SPARRING_METRICS_TENANTS."),
    ("sparring_tenant_artifact_bytes", "gauge", ("tenant",), "Bytes of the artifacts of those tenants."),
)

METRICS: Mapping[str, Metric] = GATEWAY | WORKER | EXPORTER
