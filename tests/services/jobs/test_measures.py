"""What the store counts of itself: each count moves when its thing happens; reading costs the same for any number."""

from dataclasses import replace

import pytest

from services.artifacts.store import ArtifactStore
from services.errors import LeaseLost
from services.jobs import measures
from services.jobs.record import Verdict, WorkerRecord

LANES = ("any", "cpu", "gpu")


@pytest.fixture
def store(job_store):
    """One kind of store is enough: the functions are the same."""
    return job_store


@pytest.fixture
def count(redis):
    """The counts as they stand."""

    def read(name):
        return measures.read(redis).counts.get(name, 0)

    return read


@pytest.fixture
def lane(redis):
    """What is told of a lane."""

    def read(name):
        return {one.lane: one for one in measures.read(redis).lanes}[name]

    return read


def test_a_job_is_counted_on_its_whole_way(jobs, store, count):
    job_id = jobs.submit(units=2, lane="cpu")
    assert (count("jobs/1/attack"), count("ready/cpu"), count("submitted/attack")) == (1, 2, 1)
    jobs.claim()
    assert (count("jobs/1/attack"), count("jobs/2/attack"), count("ready/cpu"), count("running/cpu")) == (0, 1, 1, 1)
    jobs.claim()
    store.cancel("default", job_id)
    assert count("jobs/5/attack") == 1
    other = jobs.submit(units=1, lane="cpu")
    jobs.run(other)
    assert (count("jobs/3/attack"), count("ended/3/attack"), count("running/cpu")) == (1, 1, 2)
    assert (count("units/committed/attack"), count("claimed/first")) == (2, 4)
    store.delete("default", other)
    assert (count("jobs/3/attack"), count("ended/3/attack")) == (0, 1)


def test_a_repeated_submit_is_counted_and_no_second_job(jobs, store, count):
    job = jobs.new(request_id="r")
    store.submit(job)
    store.submit(replace(job, id="another"))
    assert (count("repeated"), count("submitted/attack")) == (1, 1)


def test_lost_units_stale_tokens_and_quarantine_are_counted(jobs, store, count, clock):
    jobs.submit(units=1)
    for attempt in range(3):
        lease = jobs.claim()
        if attempt == 0:
            store.lose(lease.job_id, lease.unit, lease.token, "killed by SIGKILL")
        else:
            clock.advance(20_000)
            store.reap()
    assert (count("units/told/attack"), count("units/lost/attack")) == (1, 2)
    assert (count("claimed/first"), count("claimed/again")) == (1, 2)
    assert (count("ended/7/attack"), count("jobs/7/attack"), count("running/cpu"), count("ready/any")) == (1, 1, 0, 0)
    assert store.renew(lease, "w1", 15_000) is Verdict.LOST
    with pytest.raises(LeaseLost):
        store.commit(lease, "w1", "d", {})
    assert (count("stale/renew"), count("stale/commit")) == (1, 1)


def test_the_first_in_the_queue_ages_until_it_is_taken(jobs, store, lane, clock):
    jobs.submit(lane="cpu")
    clock.advance(4_000)
    jobs.submit(lane="cpu")
    clock.advance(3_000)
    assert (lane("cpu").queued_jobs, lane("cpu").oldest_s) == (2, 7.0)
    jobs.claim()
    assert (lane("cpu").queued_jobs, lane("cpu").oldest_s) == (1, 3.0)
    assert (lane("any").queued_jobs, lane("any").oldest_s) == (0, 0.0)


def test_a_job_that_waits_for_another_is_not_in_the_queue_and_its_wait_begins_at_its_turn(jobs, redis, lane, clock):
    first = jobs.submit(units=1)
    second = jobs.submit(units=1, after=(first,))
    clock.advance(60_000)
    assert lane("any").queued_jobs == 1
    jobs.run(first)
    clock.advance(400)
    jobs.run(second)
    buckets, total_s = measures.read(redis).histogram("wait", "attack")
    assert (dict(buckets)["0.5"], dict(buckets)["60.0"], dict(buckets)["+Inf"]) == (1, 2, 2)
    assert total_s == 60.4


def test_the_run_of_a_job_is_the_time_that_some_unit_was_at_work(jobs, store, redis, clock):
    jobs.submit(units=1)
    lease = jobs.claim()
    clock.advance(2_000)
    store.release(lease, "w1")
    clock.advance(50_000)
    jobs.commit_all(1)
    closing = jobs.claim()
    clock.advance(1_000)
    store.finish(closing, "w1", b"", None)
    buckets, total_s = measures.read(redis).histogram("run", "attack")
    assert (total_s, dict(buckets)["2.5"], dict(buckets)["5.0"]) == (3.0, 0, 1)


def test_workers_bells_events_and_bytes_are_told(jobs, store, redis, count, lane):
    store.announce(WorkerRecord(id="w", lane="gpu", device_name="H", unit=None, last_seen_ms=0), 15)
    jobs.submit(units=1, lane="gpu")
    assert (lane("gpu").workers, lane("gpu").bells, lane("cpu").workers) == (1, 1, 0)
    assert [one.device_name for one in measures.read(redis).workers] == ["H"]
    assert count("events/state") == 1
    artifacts = ArtifactStore(redis)
    sha256 = artifacts.put("default", bytes(1000))
    assert count("bytes") == 1000
    artifacts.delete("default", sha256)
    assert count("bytes") == 0


def test_leases_that_nobody_takes_back_are_told(jobs, redis, clock):
    jobs.submit(units=1)
    jobs.claim()
    assert measures.read(redis).overdue_leases == 0
    clock.advance(16_000)
    assert measures.read(redis).overdue_leases == 1


def test_a_store_without_its_counts_is_counted_from_the_ground_once(jobs, store, redis, lane):
    done = jobs.submit(units=1)
    jobs.run(done)
    jobs.submit(units=3, lane="gpu"), jobs.submit(units=1)
    jobs.claim()
    ArtifactStore(redis).put("default", bytes(100))
    standing = ("jobs/", "ready/", "running/", "bytes")

    def gauges():
        return {name: n for name, n in measures.read(redis).counts.items() if name.startswith(standing) and n}

    before = gauges()
    redis.delete("{sparring}:counts", *(f"{{sparring}}:queued:{name}" for name in LANES))
    store.reap()
    assert gauges() == before
    assert lane("gpu").queued_jobs == 1
    redis.hset("{sparring}:counts", "bytes", 7)
    store.reap()
    assert measures.read(redis).counts["bytes"] == 7


def test_reading_costs_the_same_for_any_number_of_jobs(jobs, redis):
    def commands():
        redis.config_resetstat()
        measures.read(redis)
        return sum(row["calls"] for row in redis.info("commandstats").values())

    jobs.submit(units=1)
    few = commands()
    assert few > 8
    for _ in range(100):
        jobs.submit(units=3)
    assert commands() == few
