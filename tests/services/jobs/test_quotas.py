"""Quotas: what is refused, what waits, what is counted, and that a repetition is never refused nor charged twice."""

import math
from dataclasses import replace

import pytest

from services.errors import QuotaExceeded
from services.jobs.record import Quota, Registration, Usage, WorkerRecord
from services.jobs.states import State

DIGEST = "d" * 64
NOTHING = Usage(queued_jobs=0, running_jobs=0, artifact_bytes=0, giga_ops=0)


def refused(call, limit):
    with pytest.raises(QuotaExceeded) as error:
        call()
    assert (error.value.subject, error.value.limit) == ("tenants/default", limit)
    assert error.value.reason == "QUOTA_EXCEEDED"
    assert error.value.retry_after_s > 0
    return error.value.message


def test_a_tenant_has_no_limits_until_some_are_set(store):
    assert store.quota("default") == Quota()
    assert store.usage("default") == NOTHING
    quota = Quota(max_queued_jobs=3, max_running_jobs=2, max_artifact_bytes=1 << 40, max_giga_ops=0.1, weight=2.5)
    store.set_quota("default", quota)
    assert store.quota("default") == quota
    assert store.quota("other") == Quota()
    store.set_quota("default", Quota())
    assert store.quota("default") == Quota()


@pytest.mark.parametrize(
    "wrong", [{"max_queued_jobs": -1}, {"max_giga_ops": math.nan}, {"weight": 0}, {"weight": math.inf}]
)
def test_a_quota_that_is_none_is_not_kept(store, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        store.set_quota("default", Quota(**wrong))
    assert store.quota("default") == Quota()


def test_jobs_that_wait_are_limited_until_one_begins(store, jobs):
    store.set_quota("default", Quota(max_queued_jobs=2))
    jobs.submit(units=1), jobs.submit(units=1)
    message = refused(jobs.submit, "max_queued_jobs")
    assert "2 of its jobs wait and 2 may" in message
    jobs.submit(tenant="other")
    jobs.claim()
    jobs.submit()


def test_compute_is_charged_from_the_submit_to_the_end(store, jobs):
    store.set_quota("default", Quota(max_giga_ops=10.5))
    job_id = jobs.submit(units=1, giga_ops=10.25)
    assert store.get("default", job_id).giga_ops == 10.25
    message = refused(lambda: jobs.submit(giga_ops=0.251), "max_giga_ops")
    assert "10.25 giga-operations" in message
    jobs.submit(giga_ops=0.25)
    store.fail(jobs.claim(), "w1", b"error")
    assert store.usage("default").giga_ops == 0.25
    jobs.submit(giga_ops=10.25)


def test_a_retry_is_charged_like_a_submit_and_refused_like_one(store, jobs):
    store.set_quota("default", Quota(max_giga_ops=10, max_queued_jobs=1))
    first = jobs.submit(units=1, giga_ops=6)
    store.cancel("default", first)
    second = jobs.submit(units=1, giga_ops=6)
    refused(lambda: store.retry("default", first), "max_queued_jobs")
    lease = jobs.claim()
    refused(lambda: store.retry("default", first), "max_giga_ops")
    assert store.get("default", first).state is State.CANCELLED
    store.cancel("default", second)
    store.stopped(lease, "w1")
    store.retry("default", first)
    assert store.usage("default") == replace(NOTHING, queued_jobs=1, giga_ops=6)


def test_new_jobs_are_refused_while_the_artifacts_fill_the_quota(store, jobs, artifact_store):
    store.set_quota("default", Quota(max_artifact_bytes=100))
    artifact_store.put("other", bytes(100))
    jobs.submit(units=1)
    lease = jobs.claim()
    sha256 = artifact_store.put("default", bytes(150))
    refused(jobs.submit, "max_artifact_bytes")
    store.fail(lease, "w1", b"error")
    refused(lambda: store.retry("default", lease.job_id), "max_artifact_bytes")
    artifact_store.delete("default", sha256)
    store.retry("default", lease.job_id)
    jobs.submit()


def test_a_refused_submit_leaves_nothing(store, jobs, redis):
    store.set_quota("default", Quota(max_queued_jobs=1))
    jobs.submit()
    before = sorted(redis.keys("*"))
    job = jobs.new(request_id="r")
    refused(lambda: store.submit(job, Registration(kind="model", id="m", record=b"m")), "max_queued_jobs")
    refused(lambda: store.submit_and_place(job), "max_queued_jobs")
    assert sorted(redis.keys("*")) == before
    assert store.usage("default").queued_jobs == 1


def test_a_repeated_submit_answers_with_the_first_job_though_the_quota_is_full(store, jobs):
    store.set_quota("default", Quota(max_queued_jobs=1, max_giga_ops=3))
    job = jobs.new(request_id="r", giga_ops=3)
    first = store.submit(job)
    assert store.submit(job) == first
    assert store.submit(replace(job, id="another")) == first
    assert store.submit_and_place(job)[0] == first
    assert store.usage("default") == replace(NOTHING, queued_jobs=1, giga_ops=3)


@pytest.mark.parametrize("giga_ops", [-1, math.nan, math.inf])
def test_compute_that_is_no_number_is_an_error(jobs, giga_ops):
    with pytest.raises(ValueError, match="compute"):
        jobs.submit(giga_ops=giga_ops)


def test_compute_beyond_all_counting_is_refused_even_without_a_limit(store, jobs):
    refused(lambda: jobs.submit(giga_ops=1e300), "max_giga_ops")
    for _ in range(4):
        jobs.submit(giga_ops=2e12)
    refused(lambda: jobs.submit(giga_ops=2e12), "max_giga_ops")
    assert store.usage("default").giga_ops == 8e12


def test_jobs_beyond_those_that_may_run_wait_and_units_of_running_ones_do_not(store, jobs):
    store.set_quota("default", Quota(max_running_jobs=2))
    first, second, third = (jobs.submit(units=2) for _ in range(3))
    taken = [jobs.claim() for _ in range(4)]
    assert [lease.job_id for lease in taken] == [first, first, second, second]
    assert jobs.nothing_to_claim()
    assert store.usage("default") == replace(NOTHING, queued_jobs=1, running_jobs=2)
    jobs.submit(tenant="other", units=1)
    assert jobs.claim().tenant == "other"
    store.release(taken[1], "w1")
    assert jobs.claim().job_id == first
    store.fail(taken[2], "w1", b"error")
    assert jobs.claim().job_id == third


def test_a_job_that_is_sent_back_to_the_queue_leaves_its_place_to_another(store, jobs):
    store.set_quota("default", Quota(max_running_jobs=1))
    first, _second = jobs.submit(units=1), jobs.submit(units=1)
    lease = jobs.claim()
    assert lease.job_id == first
    assert jobs.nothing_to_claim()
    store.release(lease, "w1")
    assert jobs.claim().job_id == first


def test_a_job_that_is_being_cancelled_still_runs(store, jobs):
    store.set_quota("default", Quota(max_running_jobs=1))
    first, second = jobs.submit(units=1), jobs.submit(units=1)
    lease = jobs.claim()
    store.cancel("default", first)
    assert store.usage("default").running_jobs == 1
    assert jobs.nothing_to_claim()
    store.stopped(lease, "w1")
    assert jobs.claim().job_id == second


def test_the_end_of_a_job_rings_for_the_one_that_waited_for_it(store, jobs, redis):
    store.set_quota("default", Quota(max_running_jobs=1))
    for number in range(3):
        store.announce(WorkerRecord(id=f"w{number}", lane="cpu", device_name="d", unit=None, last_seen_ms=0), 15)
    jobs.submit(units=1), jobs.submit(units=2)
    lease = jobs.claim()
    redis.delete("sparring:cel:cpu")
    assert store.ring("cpu") == 0
    store.fail(lease, "w1", b"error")
    assert redis.llen("sparring:cel:cpu") == 2


def test_bells_are_repaired_for_what_may_run_only(store, jobs, redis):
    for number in range(9):
        store.announce(WorkerRecord(id=f"w{number}", lane="cpu", device_name="d", unit=None, last_seen_ms=0), 15)
    for _ in range(3):
        jobs.submit(units=2)
    for most, bells in ((0, 6), (1, 2), (2, 4)):
        store.set_quota("default", Quota(max_running_jobs=most))
        redis.delete("sparring:cel:cpu")
        assert store.ring("cpu") == bells
    jobs.claim(), jobs.claim(), jobs.claim()
    redis.delete("sparring:cel:cpu")
    assert store.ring("cpu") == 1
    assert store.ready_units("default") == 3
    assert store.ready_units("other") == 0
