"""Submitting: one job for one request, whatever is repeated."""

import json

import pytest

from services.connection import connect
from services.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from services.jobs.record import Registration, WorkerRecord
from services.jobs.states import State
from services.jobs.store import JobStore
from services.settings import StoreSettings


def test_a_job_is_kept_as_it_was_given(store, jobs):
    job = jobs.new(units=3, kind="evaluation", lane="gpu", request_id="r", display_name="Märchen", tenant="t")
    record = store.submit(job)
    assert record == store.get("t", job.id)
    given = (record.id, record.tenant, record.kind, record.lane, record.spec, record.units, record.display_name)
    assert given == (job.id, "t", "evaluation", "gpu", job.spec, 3, "Märchen")
    assert (record.state, record.version, record.last_event) == (State.QUEUED, 1, 1)
    assert (record.started_ms, record.ended_ms, record.error, record.result) == (None, None, b"", b"")
    assert record.progress == {"fraction": 0, "units_done": 0, "units_total": 4, "message": ""}


def test_the_same_request_is_the_same_job_even_under_another_id(store, jobs):
    first = store.submit(jobs.new(request_id="r", spec_hash="same"))
    second = store.submit(jobs.new(request_id="r", spec_hash="same"))
    assert second == first
    assert store.ready_units("default") == 2


def test_a_job_and_its_place_come_in_one_answer(store, jobs):
    store.submit(jobs.new())
    record, position = store.submit_and_place(jobs.new(request_id="r", spec_hash="same"))
    assert record == store.get("default", record.id)
    assert position == store.position(record)
    assert position.jobs_ahead == 1
    assert store.submit_and_place(jobs.new(request_id="r", spec_hash="same"))[0] == record
    with pytest.raises(InvalidArgument):
        store.submit_and_place(jobs.new(request_id="r", spec_hash="other"))


def test_a_request_id_with_another_spec_is_refused(store, jobs):
    store.submit(jobs.new(request_id="r", spec_hash="one"))
    with pytest.raises(InvalidArgument) as refused:
        store.submit(jobs.new(request_id="r", spec_hash="two"))
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert refused.value.violations[0].field == "request_id"
    assert len(store.list("default")) == 1


def test_request_ids_of_two_tenants_are_apart(store, jobs):
    store.submit(jobs.new(request_id="r", tenant="one"))
    store.submit(jobs.new(request_id="r", tenant="two"))
    assert [len(store.list(tenant)) for tenant in ("one", "two")] == [1, 1]


def test_a_request_id_is_forgotten_after_a_day(store, jobs, redis):
    jobs.submit(request_id="r")
    assert 23 * 3600 < redis.ttl("{sparring}:req:default:r") <= 24 * 3600


def test_a_submit_whose_answer_was_lost_can_be_repeated_without_a_request_id(store, jobs):
    job = jobs.new()
    assert store.submit(job) == store.submit(job)
    with pytest.raises(AlreadyExists):
        store.submit(jobs.new(id=job.id))


def test_a_submit_rings_once_even_if_nobody_is_known_to_listen(store, jobs, redis):
    jobs.submit(units=5)
    assert (redis.llen("sparring:cel:cpu"), redis.llen("sparring:cel:gpu")) == (1, 0)
    bell = json.loads(redis.lindex("sparring:cel:cpu", 0))
    assert bell["headers"]["task"] == "sparring.bell"
    assert bell["headers"]["id"] == bell["properties"]["delivery_tag"] == "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(("units", "bells"), [(1, 1), (2, 2), (9, 3)])
def test_a_submit_rings_for_every_unit_that_a_free_worker_could_take(store, jobs, redis, units, bells):
    for number in range(5):
        unit = None if number < 3 else "job/1"
        store.announce(worker(f"w{number}", "cpu", unit), 15)
    store.announce(worker("g", "gpu", None), 15)
    jobs.submit(units=units)
    assert (redis.llen("sparring:cel:cpu"), redis.llen("sparring:cel:gpu")) == (bells, 1)


def test_bells_do_not_pile_up_beyond_the_workers(store, jobs, redis):
    for number in range(3):
        store.announce(worker(f"w{number}", "cpu", None), 15)
    for _ in range(20):
        jobs.submit(units=1)
    assert redis.llen("sparring:cel:cpu") == 3


@pytest.mark.parametrize("lane", ["cpu", "gpu"])
def test_a_lane_of_its_own_rings_there_only(store, jobs, redis, lane):
    store.announce(worker("g", "gpu", None), 15)
    jobs.submit(lane=lane)
    assert {name: redis.llen(f"sparring:cel:{name}") for name in ("cpu", "gpu")} == {"cpu": 0, "gpu": 0} | {lane: 1}


def test_a_registration_is_written_with_the_job_or_not_at_all(store, jobs):
    job = jobs.new(kind="intake", units=1)
    store.submit(job, Registration(kind="model", id="m", record=b"checking"))
    assert store.lookup("default", "model", "m") == b"checking"
    other = jobs.new(kind="intake", units=1)
    with pytest.raises(AlreadyExists):
        store.submit(other, Registration(kind="model", id="m", record=b"mine"))
    assert store.lookup("default", "model", "m") == b"checking"
    assert [record.id for record in store.list("default")] == [job.id]


def test_new_work_is_refused_above_four_fifths_of_the_memory(store_settings, redis, job_store, jobs):
    used = redis.info("memory")["used_memory"]
    with connect(store_settings) as client:
        full = JobStore(client, StoreSettings(store_settings.redis_url, redis_memory_bytes=int(used / 0.85)))
        with pytest.raises(ResourceExhausted) as refused:
            full.submit(jobs.new())
        roomy = JobStore(client, StoreSettings(store_settings.redis_url, redis_memory_bytes=used * 2))
        roomy.submit(jobs.new())
    assert refused.value.retry_after_s > 0
    assert len(job_store.list("default")) == 1


def worker(name: str, lane: str, unit: str | None) -> WorkerRecord:
    return WorkerRecord(id=name, lane=lane, device_name="d", unit=unit, last_seen_ms=0)
