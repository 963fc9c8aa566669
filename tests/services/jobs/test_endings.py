"""How jobs end: finish, fail, cancel; and what can be done with one that has: retry, delete."""

import base64

import pytest

from services.errors import Aborted, AlreadyExists, FailedPrecondition, LeaseLost, NotFound
from services.jobs.record import Registration, Verdict
from services.jobs.states import State

DIGEST = "d" * 64


def closing(jobs, units=1, **changes):
    """The closing lease of a job whose units are all committed."""
    jobs.submit(units=units, **changes)
    jobs.commit_all(units)
    return jobs.claim()


def test_finish_ends_the_job_and_says_everything_that_happened(store, jobs):
    lease = closing(jobs, units=1)
    assert store.finish(lease, "w1", b"\x00result", None) == ""
    record = store.get("default", lease.job_id)
    assert (record.state, record.result, record.error, record.units_done) == (State.SUCCEEDED, b"\x00result", b"", 2)
    assert record.ended_ms >= record.started_ms
    assert record.progress["fraction"] == 1
    assert [kind for kind, _ in jobs.happened(lease.job_id)] == [
        *("state", "state", "unit", "unit", "progress", "unit", "unit", "progress", "state")
    ]
    assert [result.unit for result in store.unit_results("default", lease.job_id)] == [0]


def test_finish_can_be_repeated(store, jobs):
    lease = closing(jobs)
    model = Registration(kind="model", id="m", record=b"model")
    assert [store.finish(lease, "w1", b"result", model) for _ in range(2)] == ["m", "m"]
    assert jobs.states(lease.job_id) == [State.QUEUED, State.RUNNING, State.SUCCEEDED]


def test_only_the_closing_unit_finishes(store, jobs):
    jobs.submit(units=1)
    with pytest.raises(FailedPrecondition) as refused:
        store.finish(jobs.claim(), "w1", b"result", None)
    assert refused.value.reason == "NOT_CLOSING"


def test_what_a_job_made_is_registered_under_its_name(store, jobs):
    lease = closing(jobs, kind="training")
    model = Registration(kind="model", id="m", record=b"m", fallback_id="spare", fallback_record=b"spare")
    assert store.finish(lease, "w1", b"result", model) == "m"
    assert store.lookup("default", "model", "m") == b"m"
    assert store.get("default", lease.job_id).registered == "m"


def test_or_under_the_other_one_where_another_job_was_faster(store, jobs):
    first, second, third = closing(jobs), closing(jobs), closing(jobs)
    model = Registration(kind="model", id="m", record=b"m", fallback_id="spare", fallback_record=b"spare")
    store.finish(first, "w1", b"result", model)
    assert store.finish(second, "w1", b"result", model) == "spare"
    assert store.lookup("default", "model", "spare") == b"spare"
    with pytest.raises(AlreadyExists):
        store.finish(third, "w1", b"result", model)
    assert store.get("default", third.job_id).state is State.RUNNING


def test_a_job_rewrites_what_was_registered_for_it(store, jobs):
    job = jobs.new(kind="intake", units=0)
    store.submit(job, Registration(kind="dataset", id="d", record=b"checking"))
    store.finish(jobs.claim(), "w1", b"result", Registration(kind="dataset", id="d", record=b"ready"))
    assert store.registered("default", "dataset") == [b"ready"]


def test_fail_ends_the_job_and_takes_the_other_leases(store, jobs):
    job_id = jobs.submit(units=3)
    one, two = jobs.claim("w1"), jobs.claim("w2")
    store.fail(one, "w1", b"\x00status")
    record = store.get("default", job_id)
    assert (record.state, record.error) == (State.FAILED, b"\x00status")
    assert jobs.happened(job_id)[-1] == (
        "state",
        {"state": State.FAILED, "error": base64.b64encode(b"\x00status").decode()},
    )
    assert store.renew(two, "w2", 15_000) is Verdict.LOST
    assert jobs.nothing_to_claim()
    store.fail(one, "w1", b"\x00status")
    assert store.get("default", job_id) == record


def test_a_failed_check_rewrites_the_record(store, jobs):
    job = jobs.new(kind="intake", units=1)
    store.submit(job, Registration(kind="model", id="m", record=b"checking"))
    assert store.fail(jobs.claim(), "w1", b"status", Registration(kind="model", id="m", record=b"rejected")) == "m"
    assert store.lookup("default", "model", "m") == b"rejected"


def test_a_queued_job_is_cancelled_at_once(store, jobs):
    job_id = jobs.submit(units=5)
    record = store.cancel("default", job_id)
    assert (record.state, store.ready_units("default")) == (State.CANCELLED, 0)
    assert store.cancel("default", job_id) == record
    assert jobs.nothing_to_claim()


def test_a_running_job_is_cancelled_when_its_last_worker_has_stopped(store, jobs):
    job_id = jobs.submit(units=3)
    one, two = jobs.claim("w1"), jobs.claim("w2")
    assert store.cancel("default", job_id).state is State.CANCELLING
    assert jobs.nothing_to_claim()
    assert store.renew(one, "w1", 15_000) is Verdict.CANCEL
    store.stopped(one, "w1")
    store.stopped(one, "w1")
    assert store.cancel("default", job_id).state is State.CANCELLING
    store.stopped(two, "w2")
    store.stopped(two, "w2")
    assert jobs.states(job_id) == [State.QUEUED, State.RUNNING, State.CANCELLING, State.CANCELLED]


def test_a_job_between_two_units_is_cancelled_at_once(store, jobs):
    job_id = jobs.submit(units=2)
    jobs.commit_all(1)
    assert store.cancel("default", job_id).state is State.CANCELLED
    assert jobs.states(job_id)[-2:] == [State.CANCELLING, State.CANCELLED]


@pytest.mark.parametrize("ending", ["commit", "release", "fail", "reap"])
def test_whatever_ends_the_last_lease_ends_a_job_that_is_being_cancelled(store, jobs, clock, ending):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    store.cancel("default", job_id)
    if ending == "commit":
        assert store.commit(lease, "w1", DIGEST, {})
    elif ending == "release":
        store.release(lease, "w1")
    elif ending == "fail":
        store.fail(lease, "w1", b"error", Registration(kind="model", id="m", record=b"m"))
    else:
        clock.advance(20_000)
        store.reap(10)
    record = store.get("default", job_id)
    assert (record.state, record.error, store.ready_units("default")) == (State.CANCELLED, b"", 0)
    assert len(store.unit_results("default", job_id)) == (ending == "commit")
    assert store.registered("default", "model") == []


def test_a_finish_that_comes_after_the_cancel_counts_as_stopped(store, jobs):
    lease = closing(jobs)
    store.cancel("default", lease.job_id)
    assert [store.finish(lease, "w1", b"result", None) for _ in range(2)] == ["", ""]
    record = store.get("default", lease.job_id)
    assert (record.state, record.result) == (State.CANCELLED, b"")


@pytest.mark.parametrize("ending", ["finish", "fail"])
def test_what_ended_otherwise_is_not_cancelled(store, jobs, ending):
    lease = closing(jobs)
    _ = store.finish(lease, "w1", b"r", None) if ending == "finish" else store.fail(lease, "w1", b"e")
    with pytest.raises(FailedPrecondition):
        store.cancel("default", lease.job_id)


def test_retry_keeps_what_was_committed_and_forgets_the_attempts(store, jobs, clock):
    job_id = jobs.submit(units=3)
    jobs.commit_all(1)
    for _ in range(2):
        jobs.claim()
        clock.advance(20_000)
        store.reap(10)
    lease = jobs.claim()
    assert lease.attempt == 3
    store.fail(lease, "w1", b"error")
    record = store.retry("default", job_id)
    assert (record.state, record.error, record.ended_ms, record.units_done) == (State.QUEUED, b"", None, 1)
    again = [jobs.claim() for _ in range(2)]
    assert [(lease.unit, lease.attempt) for lease in again] == [(1, 1), (2, 1)]
    for lease in again:
        store.commit(lease, "w1", DIGEST, {})
    store.finish(jobs.claim(), "w1", b"result", None)
    assert jobs.states(job_id) == [1, 2, 1, 2, 1, 2, State.FAILED, State.QUEUED, State.RUNNING, State.SUCCEEDED]


def test_retry_of_a_job_that_lacks_its_end_only_opens_the_closing_unit(store, jobs):
    lease = closing(jobs, units=2)
    store.fail(lease, "w1", b"error")
    store.retry("default", lease.job_id)
    assert jobs.claim().closing


def test_a_retried_job_goes_to_the_end_of_the_queue(store, jobs):
    first, second = jobs.submit(units=1), jobs.submit(units=1)
    store.cancel("default", first)
    store.retry("default", first)
    assert [jobs.claim().job_id for _ in range(2)] == [second, first]


@pytest.mark.parametrize("state", ["queued", "running", "succeeded"])
def test_only_a_job_that_ended_without_success_is_retried(store, jobs, state):
    if state == "succeeded":
        lease = closing(jobs)
        store.finish(lease, "w1", b"r", None)
        job_id = lease.job_id
    else:
        job_id = jobs.submit()
        _ = jobs.claim() if state == "running" else None
    with pytest.raises(FailedPrecondition):
        store.retry("default", job_id)


def test_delete_leaves_nothing_of_an_ended_job(store, jobs, redis):
    lease = closing(jobs, request_id="r")
    store.finish(lease, "w1", b"result", None)
    store.delete("default", lease.job_id)
    with pytest.raises(NotFound):
        store.get("default", lease.job_id)
    left = [key for key in redis.keys("*") if lease.job_id.encode() in key or b":req:" in key]
    assert left == []
    assert store.list("default") == []
    with pytest.raises(LeaseLost):
        store.commit(lease, "w1", DIGEST, {})


@pytest.mark.parametrize("running", [False, True])
def test_a_job_that_has_not_ended_is_not_deleted(store, jobs, running):
    job_id = jobs.submit()
    _ = jobs.claim() if running else None
    with pytest.raises(FailedPrecondition):
        store.delete("default", job_id)


def test_an_old_etag_is_refused(store, jobs):
    job_id = jobs.submit()
    old = store.get("default", job_id).etag
    lease = jobs.claim()
    with pytest.raises(Aborted):
        store.cancel("default", job_id, old)
    assert store.get("default", job_id).state is State.RUNNING
    store.cancel("default", job_id, store.get("default", job_id).etag)
    store.stopped(lease, "w1")
    with pytest.raises(Aborted):
        store.delete("default", job_id, old)
    store.delete("default", job_id, store.get("default", job_id).etag)


@pytest.mark.parametrize("tenant", ["default", "other"])
def test_a_job_that_is_not_there_or_of_another_tenant_is_not_found(store, jobs, tenant):
    job_id = jobs.submit() if tenant == "other" else "nobody"
    for asked in (store.get, store.cancel, store.retry, store.delete, store.unit_results):
        with pytest.raises(NotFound) as refused:
            asked(tenant, job_id)
        assert refused.value.name == f"jobs/{job_id}"
