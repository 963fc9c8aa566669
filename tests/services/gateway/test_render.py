"""Records and events as clients see them."""

import base64

import pytest
from google.rpc import status_pb2
from sparring.v1 import attacks_pb2, jobs_pb2

from services.gateway import events, render
from services.jobs.record import Event, JobRecord, QueuePosition
from services.jobs.states import State

SPEC = jobs_pb2.Job(
    attack=jobs_pb2.AttackSpec(model="m", attack=attacks_pb2.Attack(fgsm=attacks_pb2.Fgsm(epsilon=0.1))),
    resolution=jobs_pb2.Resolution(units=3),
)
ERROR = status_pb2.Status(code=9, message="the weights hold NaN")
RESULT = jobs_pb2.JobResult(rows=[jobs_pb2.ResultRow(n=5)], model="models/x")
PROGRESS = {"fraction": 0.25, "units_done": 1, "units_total": 4, "message": "step 3 of 10"}


def record(**fields):
    base = {
        "id": "j1",
        "tenant": "default",
        "kind": "attack",
        "lane": "any",
        "state": State.RUNNING,
        "spec": SPEC.SerializeToString(),
        "units": 3,
        "units_done": 1,
        "version": 4,
        "created_ms": 1_000,
        "started_ms": 2_500,
        "ended_ms": None,
        "last_event": 9,
        "display_name": "first try",
        "error": b"",
        "result": b"",
        "progress": PROGRESS,
    }
    return JobRecord(**{**base, **fields})


def test_a_running_job_is_shown_whole():
    job = render.job(record())
    assert (job.name, job.state, job.etag) == ("jobs/j1", jobs_pb2.Job.STATE_RUNNING, "4")
    assert (job.last_event_id, job.display_name) == (9, "first try")
    assert (job.attack.model, job.resolution.units) == ("m", 3)
    assert (job.progress.fraction, job.progress.units_done, job.progress.units_total) == (0.25, 1, 4)
    assert not job.progress.HasField("remaining_seconds")
    assert (job.create_time.ToMilliseconds(), job.start_time.ToMilliseconds()) == (1_000, 2_500)
    for absent in ("end_time", "waiting", "error", "result"):
        assert not job.HasField(absent)


def test_the_rest_of_the_time_is_shown_once_it_is_known():
    job = render.job(record(progress={**PROGRESS, "remaining_seconds": 12.5}))
    assert job.progress.remaining_seconds == 12.5


@pytest.mark.parametrize("state", State)
def test_states_have_the_numbers_of_the_contract(state):
    assert render.state(state) == state.value
    assert jobs_pb2.Job.State.Name(state.value) == f"STATE_{state.name}"


def test_a_failed_job_shows_its_error_and_a_succeeded_one_its_result():
    failed = render.job(record(state=State.FAILED, error=ERROR.SerializeToString(), ended_ms=9_000))
    assert failed.error == ERROR
    assert failed.end_time.ToMilliseconds() == 9_000
    assert render.job(record(state=State.SUCCEEDED, result=RESULT.SerializeToString())).result == RESULT


def test_a_trained_model_has_the_id_that_it_got():
    fields = {"state": State.SUCCEEDED, "result": RESULT.SerializeToString(), "registered": "y"}
    assert render.job(record(kind="training", **fields)).result.model == "models/y"
    assert render.job(record(kind="attack", **fields)).result.model == "models/x"


def test_a_list_leaves_resolution_and_rows_out():
    job = render.summary(record(state=State.SUCCEEDED, result=RESULT.SerializeToString()))
    assert not job.HasField("resolution")
    assert (len(job.result.rows), job.result.model) == (0, "models/x")
    assert not render.summary(record()).HasField("result")


@pytest.mark.parametrize(
    ("position", "reason", "words"),
    [
        ((0, 0, False), "REASON_NO_WORKER", "start one"),
        ((3, 0, True), "REASON_NO_WORKER", "start one"),
        ((3, 2, False), "REASON_BEHIND_OTHERS", "3 jobs are before it for 2 workers; more"),
        ((1, 1, False), "REASON_BEHIND_OTHERS", "1 job is before it for 1 worker"),
        ((0, 1, False), "REASON_STARTING", "takes it"),
        ((1, 1, True), "REASON_RECOVERING", "a worker was lost"),
    ],
)
def test_a_queued_job_says_why_it_waits(position, reason, words):
    ahead, listening, recovering = position
    where = QueuePosition(jobs_ahead=ahead, workers_listening=listening, recovering=recovering)
    waiting = render.job(record(state=State.QUEUED), where).waiting
    assert jobs_pb2.Waiting.Reason.Name(waiting.reason) == reason
    assert words in waiting.message
    assert (waiting.jobs_ahead, waiting.workers_listening) == (ahead, listening)
    assert not render.job(record(state=State.RUNNING), where).HasField("waiting")


def test_the_lane_is_named_where_it_matters():
    where = QueuePosition(jobs_ahead=0, workers_listening=0, recovering=False)
    assert "no GPU worker" in render.job(record(state=State.QUEUED, lane="gpu"), where).waiting.message


def event(kind, /, **payload):
    return events.response(Event(id=5, time_ms=1_500, type=kind, payload=payload))


def test_every_kind_of_event_has_its_message():
    change = event("state", state=4, error=base64.b64encode(ERROR.SerializeToString()).decode())
    assert (change.event_id, change.time.ToMilliseconds()) == (5, 1_500)
    assert change.state_change.state == jobs_pb2.Job.STATE_FAILED
    assert change.state_change.error == ERROR
    assert not event("state", state=2).state_change.HasField("error")
    assert event("progress", **PROGRESS).progress.message == "step 3 of 10"
    unit = event("unit", unit=2, kind="released", worker="w", attempt=3).unit_change
    assert (unit.unit, unit.kind, unit.worker, unit.attempt) == (2, jobs_pb2.UnitChange.KIND_RELEASED, "w", 3)
    metric = event("metric", name="loss", value=0.5, step=7).metric
    assert (metric.name, metric.value, metric.step) == ("loss", 0.5, 7)


def test_heartbeats_and_snapshots_carry_the_last_number():
    assert events.heartbeat(8).event_id == 8
    assert events.heartbeat(8).WhichOneof("event") == "heartbeat"
    snapshot = events.snapshot(record())
    assert (snapshot.event_id, snapshot.snapshot.name) == (9, "jobs/j1")
