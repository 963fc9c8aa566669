"""What the store takes and gives: plain frozen values, times in milliseconds of the server's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, Self, TypeVar, get_args

from services.jobs.needs import ANY_DEVICE, Need, Offer
from services.jobs.states import State

T = TypeVar("T")
Kind = Literal["attack", "training", "evaluation", "poisoning", "intake"]
KINDS: tuple[Kind, ...] = get_args(Kind)
JobLane = Literal["any", "cpu", "gpu"]


class Verdict(Enum):
    """What a worker that renews its lease is told."""

    OK = "OK"
    LOST = "LOST"
    CANCEL = "CANCEL"


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """A model of a job that waits for trainings: a serialized ResolvedModel, whole or to be completed at the wake-up.

    `made_by` is the id of the training that is to make it; then `message` lacks name and digest. `pin` is `NAME=DIGEST`
    of one that is whole.
    """

    message: bytes
    made_by: str = ""
    pin: str = ""


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to accept. `id` is made by the caller, so that a repeated submit is the same submit.

    Units 0 to `units` - 1 are handed out first, the closing unit (number `units`) once all of them are committed.
    `request_id` may be empty; `spec_hash` says whether two submits ask for the same. `deadline_ms` is the longest from
    acceptance to the end, `queue_ms` the longest that it may be ready before its first unit is taken; 0 for no limit.
    `giga_ops` is what the tenant's quota of compute is charged until the job ends.

    Workers see it once the jobs in `after` have succeeded. Where trainings among these make some of its models, `rest`
    is the spec without any model, and `models` are all of them; the functions put the two together then. `makes` is the
    id that a training asks for its model. `content` is a digest of what is computed, "" for what is never the same,
    `pins` its models, `NAME=DIGEST` with blanks between them. `trace` is where in a trace the job was asked for, as
    `services.telemetry.context` writes it. Only a worker whose device meets `need` is handed a unit of it.
    """

    id: str
    tenant: str = "default"
    kind: Kind
    lane: JobLane = "any"
    spec: bytes
    spec_hash: str
    request_id: str = ""
    units: int
    display_name: str = ""
    deadline_ms: int = 0
    queue_ms: int = 0
    giga_ops: float = 0.0
    after: tuple[str, ...] = ()
    rest: bytes = b""
    models: tuple[ModelPart, ...] = ()
    makes: str = ""
    content: str = ""
    pins: str = ""
    trace: str = ""
    need: Need = ANY_DEVICE


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What a tenant may use, 0 for no limit, and its `weight` where tenants compete for workers."""

    max_queued_jobs: int = 0
    max_running_jobs: int = 0
    max_artifact_bytes: int = 0
    max_giga_ops: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a tenant uses: jobs that wait and that run, bytes of artifacts and uploads, compute of jobs not ended."""

    queued_jobs: int
    running_jobs: int
    artifact_bytes: int
    giga_ops: float


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """A job as it stands. `error` is a google.rpc.Status, `result` a sparring.v1.JobResult, both serialized.

    `units` leaves the closing unit out; `units_done` counts it once it is done. `registered` is the id under which the
    model or dataset that the job made is known. `giga_ops` is rounded to thousandths; the limits are those of `NewJob`.
    """

    id: str
    tenant: str
    kind: Kind
    lane: JobLane
    state: State
    spec: bytes
    units: int
    units_done: int
    version: int
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    last_event: int
    display_name: str
    error: bytes
    result: bytes
    progress: dict[str, Any]
    registered: str = ""
    deadline_ms: int = 0
    queue_ms: int = 0
    giga_ops: float = 0.0
    trace: str = ""
    need: Need = ANY_DEVICE

    @property
    def etag(self) -> str:
        """What `cancel` and `delete` compare: changes with every change of state."""
        return str(self.version)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A unit that a worker may work on until `deadline_ms`, and the token that proves it.

    Where the job has a `trace`, `ready_ms` is since when the unit could be claimed; `first_token` is the token of the
    first attempt at it.
    """

    job_id: str
    tenant: str
    unit: int
    units: int
    token: int
    attempt: int
    closing: bool
    kind: Kind
    spec: bytes
    checkpoint: str | None
    deadline_ms: int
    trace: str = ""
    ready_ms: int = 0
    first_token: int = 0


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job, numbered from 1 without gaps.

    state     {state, error?}: the State's number; the error in base64
    progress  {fraction, units_done, units_total, remaining_seconds?, message}
    unit      {unit, kind: claimed|committed|released|lost, worker, attempt, cause?}
    metric    {name, value, step}
    gap       {}: events up to and with this number are no longer held (made by `watch`, never stored)
    """

    id: int
    time_ms: int
    type: str
    payload: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    """A worker that has made itself known; `unit` is "job/unit" while it works, and `tenant` whose unit that is.

    `device_class` is what its operator calls such devices, "" for nothing; `memory_bytes` what the device has, 0 where
    it is not known: to a worker of an earlier version, or of a system that does not tell.
    """

    id: str
    lane: Literal["cpu", "gpu"]
    device_name: str
    unit: str | None
    last_seen_ms: int
    tenant: str | None = None
    device_class: str = ""
    memory_bytes: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)


class Reaped(int):
    """How many leases were taken back; `overdue_jobs` of them that were ended for their limits."""

    overdue_jobs: int

    def __new__(cls, leases: int, overdue_jobs: int) -> Self:
        """A number that carries another one."""
        reaped = super().__new__(cls, leases)
        reaped.overdue_jobs = overdue_jobs
        return reaped


@dataclass(frozen=True, kw_only=True)
class UnitResult:
    """What a committed unit left: the digest of its artifact, and figures that the artifact must not hold (timings)."""

    unit: int
    digest: str
    stats: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A model or dataset to make known under `id`, or under `fallback_id` where the id belongs to another job.

    `record` is its serialized message, `fallback_record` the one that carries the other name. `pins` are the artifacts
    that must not lapse as long as it is registered.
    """

    kind: Literal["model", "dataset"]
    id: str
    record: bytes
    fallback_id: str | None = None
    fallback_record: bytes | None = None
    pins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class QueuePosition:
    """Why a queued job waits: its tenant's jobs before it, who could take it, whether a worker of it was lost.

    `awaited`: ids of the jobs that have to succeed before anybody may take it. `offers`: of a job with a need, what the
    workers of its lane have.
    """

    jobs_ahead: int
    workers_listening: int
    recovering: bool
    awaited: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()


class Page(list[T]):
    """A page of a longer list; `cursor` leads to the next one, 0 says that there is none."""

    def __init__(self, items: Iterable[T] = (), cursor: int = 0) -> None:
        super().__init__(items)
        self.cursor = cursor
