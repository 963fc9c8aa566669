"""Jobs that wait for jobs: they go on in the step in which the last of these succeeds, and fail where one does not."""

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.errors import FailedPrecondition, NotFound, QuotaExceeded
from services.jobs.record import Quota
from services.jobs.states import State

KEY = "{sparring}:"


def error_of(record):
    status = status_pb2.Status.FromString(record.error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return status.code, info.reason, status.message, dict(info.metadata)


def state(store, job_id):
    return store.get("default", job_id).state


def left_of_waiting(redis):
    return [key for kind in ("waiters", "wait") for key in redis.keys(f"{KEY}{kind}:*")]


def test_a_job_is_ready_in_the_step_in_which_the_one_before_it_succeeds(store, jobs, redis):
    first = jobs.submit(units=1)
    second = jobs.submit(units=2, after=(first,))
    record = store.get("default", second)
    assert (record.state, store.ready_units("default")) == (State.QUEUED, 1)
    assert store.position(record).awaited == (first,)
    redis.delete("sparring:cel:cpu")
    jobs.commit_all(1)
    lease = jobs.claim()
    assert jobs.nothing_to_claim(), "one is done but for its end, the other waits"
    redis.delete("sparring:cel:cpu")
    store.finish(lease, "w1", b"result", None)
    assert (redis.llen("sparring:cel:cpu"), store.ready_units("default")) == (1, 2)
    assert store.position(record).awaited == ()
    assert left_of_waiting(redis) == []
    jobs.run(second)
    assert jobs.states(second) == [State.QUEUED, State.RUNNING, State.SUCCEEDED]


def test_a_chain_runs_in_its_order_and_each_job_once(store, jobs):
    chain = [jobs.submit(units=1)]
    for _ in range(4):
        chain.append(jobs.submit(units=1, after=(chain[-1],)))
    for job_id in chain:
        jobs.run(job_id)
    assert jobs.nothing_to_claim()


def test_of_a_diamond_the_last_goes_on_after_both_sides(store, jobs):
    top = jobs.submit(units=0)
    left, right = (jobs.submit(units=0, after=(top,)) for _ in range(2))
    bottom = jobs.submit(units=0, after=(left, right))
    jobs.run(top)
    jobs.run(left)
    assert store.position(store.get("default", bottom)).awaited == (right,)
    jobs.run(right)
    jobs.run(bottom)


def test_of_what_has_succeeded_already_nobody_waits(store, jobs, redis):
    first = jobs.submit(units=0)
    jobs.run(first)
    jobs.submit(units=1, after=(first,))
    assert (store.ready_units("default"), left_of_waiting(redis)) == (1, [])


@pytest.mark.parametrize("ending", ["FAILED", "CANCELLED", "QUARANTINED", "overdue"])
def test_whatever_ends_a_job_without_success_fails_all_that_come_after_it(store, jobs, clock, redis, ending):
    top = jobs.submit(units=1, deadline_ms=90_000)
    left, right = (jobs.submit(units=1, after=(top,)) for _ in range(2))
    bottom = jobs.submit(units=1, after=(left, right))
    apart = jobs.submit(units=1, lane="gpu")
    lease = jobs.claim()
    if ending == "FAILED":
        store.fail(lease, "w1", b"error")
    elif ending == "CANCELLED":
        store.release(lease, "w1")
        store.cancel("default", top)
    elif ending == "overdue":
        clock.advance(90_000)
        store.reap(10)
    else:
        for cause in ("one", "two", "three"):
            store.lose(top, 0, lease.token, cause)
            lease = jobs.claim() if cause != "three" else lease
    named = "FAILED" if ending == "overdue" else ending
    for job_id, before, ended in ((left, top, named), (right, top, named), (bottom, left, "FAILED")):
        record = store.get("default", job_id)
        code, reason, message, metadata = error_of(record)
        assert (record.state, code, reason) == (State.FAILED, code_pb2.FAILED_PRECONDITION, "DEPENDENCY_FAILED")
        assert jobs.states(job_id) == [State.QUEUED, State.FAILED], "ended once"
        if job_id != bottom:
            assert metadata == {"job": f"jobs/{before}", "state": ended, "root": f"jobs/{top}"}
        assert f"retry jobs/{top}" in message
    assert state(store, apart) is State.QUEUED
    assert (jobs.nothing_to_claim(), left_of_waiting(redis)) == (True, [])
    assert store.usage("default").queued_jobs == 1


def test_a_chain_of_three_hundred_fails_as_one(store, jobs):
    first = last = jobs.submit(units=1)
    for _ in range(300):
        last = jobs.submit(units=1, after=(last,))
    store.cancel("default", first)
    assert state(store, last) is State.FAILED
    assert store.usage("default").queued_jobs == 0


def test_after_a_retry_of_the_first_the_others_can_be_retried_in_turn(store, jobs):
    first = jobs.submit(units=1)
    second = jobs.submit(units=1, after=(first,))
    third = jobs.submit(units=1, after=(second,))
    store.cancel("default", first)
    with pytest.raises(FailedPrecondition, match=f"{first}.*is CANCELLED; retry that one first") as refused:
        store.retry("default", second)
    assert refused.value.reason == "DEPENDENCY_FAILED"
    store.retry("default", first)
    record = store.retry("default", second)
    assert (record.state, record.error) == (State.QUEUED, b"")
    assert store.position(record).awaited == (first,)
    jobs.run(first)
    store.retry("default", third)
    jobs.run(second)
    jobs.run(third)


def test_a_retry_after_what_is_gone_is_refused(store, jobs):
    first = jobs.submit(units=1)
    second = jobs.submit(units=1, after=(first,))
    store.cancel("default", first)
    store.delete("default", first)
    with pytest.raises(FailedPrecondition) as refused:
        store.retry("default", second)
    assert refused.value.reason == "DEPENDENCY_GONE"


def test_a_job_that_went_on_once_never_waits_again(store, jobs):
    first = jobs.submit(units=0)
    second = jobs.submit(units=1, after=(first,))
    jobs.run(first)
    store.delete("default", first)
    store.fail(jobs.claim(), "w1", b"error")
    store.retry("default", second)
    jobs.run(second)


def test_nothing_can_come_after_what_is_not_there_or_did_not_succeed(store, jobs):
    others = jobs.submit(tenant="other")
    failed = jobs.submit(units=1)
    store.cancel("default", failed)
    for after in ((others,), ("nobody",)):
        with pytest.raises(NotFound):
            jobs.submit(after=after)
    with pytest.raises(FailedPrecondition) as refused:
        jobs.submit(after=(failed,))
    assert refused.value.reason == "DEPENDENCY_FAILED"
    assert len(store.list("default")) == 1


def test_what_is_waited_for_is_neither_deleted_nor_forgotten(store, jobs, clock):
    done, slow = jobs.submit(units=0), jobs.submit(units=1)
    waiting = jobs.submit(units=0, after=(done, slow))
    jobs.run(done)
    with pytest.raises(FailedPrecondition, match=f"jobs/{waiting} waits for job {done}"):
        store.delete("default", done)
    clock.advance(8 * 86_400_000)
    store.expire(10)
    assert state(store, done) is State.SUCCEEDED
    jobs.run(slow)
    store.delete("default", done)
    jobs.run(waiting)


def test_a_job_that_waits_can_be_cancelled_and_nobody_waits_for_it_then(store, jobs, redis):
    first = jobs.submit(units=0)
    second = jobs.submit(units=1, after=(first,))
    third = jobs.submit(units=1, after=(second,))
    assert store.cancel("default", second).state is State.CANCELLED
    assert state(store, third) is State.FAILED
    assert left_of_waiting(redis) == []
    jobs.run(first)
    assert jobs.nothing_to_claim()
    store.retry("default", second)
    jobs.run(second)


def test_a_deadline_counts_from_acceptance_and_time_in_the_queue_from_being_ready(store, jobs, clock):
    first = jobs.submit(units=0)
    patient = jobs.submit(units=1, after=(first,), queue_ms=10_000)
    hurried = jobs.submit(units=1, after=(first,), deadline_ms=50_000)
    clock.advance(49_999)
    assert store.reap(10).overdue_jobs == 0
    clock.advance(1)
    assert store.reap(10).overdue_jobs == 1
    assert error_of(store.get("default", hurried))[1] == "DEADLINE_EXCEEDED"
    jobs.run(first)
    clock.advance(9_999)
    assert store.reap(10).overdue_jobs == 0
    clock.advance(1)
    store.reap(10)
    assert error_of(store.get("default", patient))[1] == "QUEUE_TIME_EXCEEDED"


def test_a_job_that_waits_counts_as_one_that_is_queued_and_keeps_its_place(store, jobs):
    store.set_quota("default", Quota(max_queued_jobs=2))
    first = jobs.submit(units=0)
    waiting = jobs.submit(units=0, after=(first,))
    with pytest.raises(QuotaExceeded):
        jobs.submit()
    lease = jobs.claim()
    later = jobs.submit(units=0)
    store.finish(lease, "w1", b"result", None)
    assert [jobs.claim().job_id for _ in range(2)] == [waiting, later]
    assert [record.id for record in store.list("default")] == [later, waiting, first]
