"""What keeps the rest going: lost workers, quarantine, retention, bells, and why a job waits."""

import asyncio
import base64
import logging
from dataclasses import replace

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.connection import connect_async
from services.jobs import reaper
from services.jobs.aio import AsyncJobStore
from services.jobs.record import NewJob, WorkerRecord
from services.jobs.states import State
from services.settings import StoreSettings

DIGEST = "d" * 64
DAY_MS = 86_400_000
BELLS = "sparring:cel:cpu"


def lose(store, jobs, clock, worker="w1"):
    lease = jobs.claim(worker)
    clock.advance(20_000)
    assert store.reap(10) == 1
    return lease


def test_a_unit_whose_worker_fell_silent_is_open_again(store, jobs, clock):
    job_id = jobs.submit(units=1)
    lease = lose(store, jobs, clock)
    assert store.get("default", job_id).state is State.QUEUED
    lost = {"unit": 0, "kind": "lost", "worker": "w1", "attempt": 1, "cause": "not heard of for 15 s"}
    assert jobs.happened(job_id)[3:] == [("unit", lost), ("state", {"state": State.QUEUED})]
    again = jobs.claim("w2")
    assert (again.unit, again.attempt) == (0, 2)
    assert again.token > lease.token


def test_reap_takes_no_more_than_it_is_told(store, jobs, clock):
    jobs.submit(units=5)
    for _ in range(5):
        jobs.claim()
    clock.advance(20_000)
    assert [store.reap(2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_unit_that_is_lost_three_times_puts_its_job_into_quarantine(store, jobs, clock):
    job_id = jobs.submit(units=3)
    bystander = None
    for number in range(3):
        jobs.claim(f"w{number}")
        clock.advance(20_000)
        if number == 2:
            bystander = jobs.claim("bystander")
        store.reap(10)
    record = store.get("default", job_id)
    assert record.state is State.QUARANTINED
    assert store.ready_units("default") == 0
    assert store.renew(bystander, "bystander", 15_000).value == "LOST"
    status = status_pb2.Status.FromString(record.error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert status.code == code_pb2.ABORTED
    assert (info.reason, info.domain) == ("UNIT_LOST", "sparring")
    cause = "not heard of for 15 s"
    assert dict(info.metadata) == {"unit": "0", "attempts": "3", "worker": "w2", "cause": cause}
    assert f"unit 0 was lost with its worker 3 times, the last time with w2 ({cause})" in status.message
    kind, payload = jobs.happened(job_id)[-1]
    assert (kind, payload["state"]) == ("state", State.QUARANTINED)
    assert status_pb2.Status.FromString(base64.b64decode(payload["error"])) == status


def test_a_quarantined_job_has_three_attempts_again_after_a_retry(store, jobs, clock):
    job_id = jobs.submit(units=1)
    for _ in range(3):
        lose(store, jobs, clock)
    record = store.retry("default", job_id)
    assert (record.state, record.error) == (State.QUEUED, b"")
    for _ in range(2):
        lose(store, jobs, clock)
    assert store.get("default", job_id).state is State.QUEUED


def test_a_job_whose_workers_left_between_two_units_waits_again(store, jobs, clock):
    job_id = jobs.submit(units=2)
    jobs.commit_all(1)
    store.reap(10)
    assert store.get("default", job_id).state is State.RUNNING
    clock.advance(2_000)
    store.reap(10)
    assert store.get("default", job_id).state is State.QUEUED
    jobs.claim()
    clock.advance(5_000)
    store.reap(10)
    assert store.get("default", job_id).state is State.RUNNING


def test_ended_jobs_are_forgotten_after_a_week_and_others_never(store, jobs, clock, redis):
    ended, queued = jobs.submit(request_id="r"), jobs.submit()
    store.cancel("default", ended)
    clock.advance(6 * DAY_MS)
    assert store.expire(10) == 0
    clock.advance(DAY_MS)
    assert store.expire(10) == 1
    assert [record.id for record in store.list("default")] == [queued]
    assert [key for key in redis.keys("*") if ended.encode() in key] == []


def test_expire_takes_no_more_than_it_is_told(store, jobs, clock):
    for _ in range(5):
        store.cancel("default", jobs.submit())
    clock.advance(8 * DAY_MS)
    assert [store.expire(2) for _ in range(4)] == [2, 2, 1, 0]


def test_ring_repairs_lost_bells_but_rings_for_no_one(store, jobs, redis):
    jobs.submit(units=5)
    redis.delete(BELLS)
    assert store.ring("cpu") == 0
    for number in range(3):
        store.announce(worker(f"w{number}"), 15)
    assert [store.ring("cpu") for _ in range(2)] == [3, 0]
    assert redis.llen(BELLS) == 3
    redis.delete(BELLS)
    for _ in range(4):
        jobs.claim()
    redis.delete(BELLS)
    assert store.ring("cpu") == 1


def test_bells_have_different_ids(store, jobs, redis):
    for number in range(4):
        store.announce(worker(f"w{number}"), 15)
    jobs.submit(units=9)
    assert len(set(redis.lrange(BELLS, 0, -1))) == 4


@pytest.mark.parametrize("opening", ["last commit", "release", "reap", "retry"])
def test_whatever_opens_a_unit_rings(store, jobs, clock, redis, opening):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    redis.delete(BELLS)
    if opening == "last commit":
        store.commit(lease, "w1", DIGEST, {})
    elif opening == "release":
        store.release(lease, "w1")
    elif opening == "reap":
        clock.advance(20_000)
        store.reap(10)
    else:
        store.fail(lease, "w1", b"error")
        store.retry("default", job_id)
    assert redis.llen(BELLS) == 1


def test_workers_are_known_while_they_speak(store, clock):
    given = replace(worker("w1", unit="job/3"), tenant="t")
    store.announce(given, 15)
    store.announce(worker("w2", lane="gpu"), 60)
    known = store.workers()
    assert [(w.id, w.lane, w.device_name, w.unit, w.tenant, w.versions) for w in known] == [
        ("w1", "cpu", "device", "job/3", "t", {"torch": "2"}),
        ("w2", "gpu", "device", None, None, {"torch": "2"}),
    ]
    assert known[0].last_seen_ms > 1_500_000_000_000
    clock.advance(16_000)
    assert [w.id for w in store.workers()] == ["w2"]
    store.forget_worker("w2")
    assert store.workers() == []


def test_why_a_job_waits(store, jobs):
    behind = [jobs.submit(lane=lane, units=1) for lane in ("cpu", "any", "gpu", "gpu", "any")]
    record = store.get("default", behind[-1])

    def seen(record):
        position = store.position(record)
        return position.jobs_ahead, position.workers_listening, position.recovering

    assert seen(record) == (1, 0, False)
    store.announce(worker("g", lane="gpu"), 15)
    assert seen(record) == (3, 1, False)
    store.announce(worker("c", lane="cpu"), 15)
    assert seen(record) == (2, 2, False)
    assert seen(store.get("default", behind[0])) == (0, 1, False)
    assert seen(store.get("default", behind[3])) == (2, 1, False)
    jobs.claim()
    assert seen(store.get("default", behind[0])) == (0, 0, False)


def test_a_job_that_lost_a_worker_recovers_until_it_is_claimed(store, jobs, clock):
    job_id = jobs.submit(units=1)
    lose(store, jobs, clock)
    assert store.position(store.get("default", job_id)).recovering
    lease = jobs.claim()
    store.release(lease, "w1")
    assert not store.position(store.get("default", job_id)).recovering


async def test_the_reaper_does_all_of_it(async_job_store, job_store, redis, caplog, monkeypatch):
    job_store.submit(NewJob(id="a", kind="attack", spec=b"", spec_hash="h", units=1))
    job_store.claim("c", "w", "cpu", 1)
    job_store.announce(worker("w"), 15)
    late = NewJob(id="b", kind="attack", lane="gpu", spec=b"", spec_hash="h", units=1, queue_ms=1)
    job_store.submit(late)
    caplog.set_level(logging.WARNING)
    reached = []
    monkeypatch.setattr(reaper.faultpoints, "reach", lambda point: reached.append((point, redis.llen(BELLS))))
    await asyncio.sleep(0.01)
    redis.delete(BELLS)
    await reaper.sweep(async_job_store)
    assert job_store.get("default", "a").state is State.QUEUED
    assert job_store.get("default", "b").state is State.FAILED
    assert caplog.messages == [
        "1 leases were not renewed in time and were taken back, 1 jobs were ended for their limits"
    ]
    assert reached == [("reaper.swept", 1)]
    assert redis.llen(BELLS) == 1
    await reaper.sweep(async_job_store)
    assert len(caplog.messages) == 1


async def test_the_reaper_outlives_a_store_that_is_away(caplog):
    caplog.set_level(logging.WARNING)
    async with connect_async(StoreSettings("redis://127.0.0.1:1/0"), blocking=True) as nowhere:
        task = asyncio.create_task(reaper.run(AsyncJobStore(nowhere), period_s=0.01))
        async with asyncio.timeout(10):
            while len(caplog.records) < 3:  # noqa: ASYNC110 - nobody else could set an event
                await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def worker(name, lane="cpu", unit=None):
    return WorkerRecord(id=name, lane=lane, device_name="device", unit=unit, last_seen_ms=0, versions={"torch": "2"})
