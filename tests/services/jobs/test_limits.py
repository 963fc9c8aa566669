"""Limits in time: deadlines and queue times, and workers of which their parent says that they are dead."""

import base64

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.errors import LeaseLost
from services.jobs.record import Verdict
from services.jobs.states import State

DIGEST = "d" * 64


def status_of(record):
    """Code, message, reason and metadata of what ended a job."""
    status = status_pb2.Status.FromString(record.error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "sparring"
    return status.code, status.message, info.reason, dict(info.metadata)


def test_a_job_says_its_limits(store, jobs):
    record = store.get("default", jobs.submit(deadline_ms=60_000, queue_ms=1_500, giga_ops=0.125))
    assert (record.deadline_ms, record.queue_ms, record.giga_ops) == (60_000, 1_500, 0.125)
    record = store.get("default", jobs.submit())
    assert (record.deadline_ms, record.queue_ms, record.giga_ops) == (0, 0, 0)


def test_a_job_beyond_its_deadline_has_failed_and_its_workers_are_told(store, jobs, clock):
    job_id = jobs.submit(units=3, deadline_ms=60_000)
    store.commit(jobs.claim(), "w1", DIGEST, {})
    clock.advance(55_000)
    lease = jobs.claim()
    assert store.reap(10).overdue_jobs == 0
    clock.advance(5_000)
    assert store.reap(10).overdue_jobs == 1
    assert store.renew(lease, "w1", 15_000) is Verdict.LOST
    record = store.get("default", job_id)
    assert (record.state, record.ended_ms - record.created_ms) == (State.FAILED, 60_000)
    code, message, reason, metadata = status_of(record)
    assert (code, reason) == (code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert metadata == {"limit": "limits.deadline_seconds", "seconds": "60"}
    assert "had not ended 60 s after it was accepted" in message
    assert "larger limits.deadline_seconds" in message
    kind, payload = jobs.happened(job_id)[-1]
    assert (kind, payload) == ("state", {"state": State.FAILED, "error": base64.b64encode(record.error).decode()})
    assert [result.unit for result in store.unit_results("default", job_id)] == [0]
    assert jobs.nothing_to_claim()


@pytest.mark.parametrize("claimed", [False, True])
def test_only_a_job_that_was_never_taken_can_wait_too_long(store, jobs, clock, claimed):
    job_id = jobs.submit(units=1, queue_ms=2_500)
    if claimed:
        store.release(jobs.claim(), "w1")
    clock.advance(2_500)
    assert store.reap(10).overdue_jobs == (not claimed)
    record = store.get("default", job_id)
    if claimed:
        assert record.state is State.QUEUED
        return
    assert jobs.states(job_id) == [State.QUEUED, State.FAILED]
    code, message, reason, metadata = status_of(record)
    assert (code, reason) == (code_pb2.DEADLINE_EXCEEDED, "QUEUE_TIME_EXCEEDED")
    assert metadata == {"limit": "limits.queue_seconds", "seconds": "2.5"}
    assert "no worker had taken the job 2.5 s after it could be taken" in message


def test_a_limit_of_a_year_is_told_in_full(store, jobs, clock):
    job_id = jobs.submit(deadline_ms=31_536_000_000)
    clock.advance(31_536_000_000)
    store.reap(10)
    assert status_of(store.get("default", job_id))[3]["seconds"] == "31536000"


def test_a_retry_begins_both_limits_anew_and_keeps_what_was_finished(store, jobs, clock):
    job_id = jobs.submit(units=2, deadline_ms=60_000, queue_ms=10_000)
    store.commit(jobs.claim(), "w1", DIGEST, {})
    clock.advance(60_000)
    store.reap(10)
    record = store.retry("default", job_id)
    assert (record.state, record.error, record.units_done) == (State.QUEUED, b"", 1)
    clock.advance(9_999)
    assert store.reap(10).overdue_jobs == 0
    clock.advance(1)
    assert store.reap(10).overdue_jobs == 1
    assert status_of(store.get("default", job_id))[2] == "QUEUE_TIME_EXCEEDED"
    store.retry("default", job_id)
    lease = jobs.claim(lease_ms=120_000)
    assert (lease.unit, lease.attempt) == (1, 1)
    clock.advance(60_000)
    store.reap(10)
    assert status_of(store.get("default", job_id))[2] == "DEADLINE_EXCEEDED"


def test_of_two_limits_that_pass_at_once_the_earlier_one_is_told(store, jobs, clock):
    job_id = jobs.submit(deadline_ms=60_000, queue_ms=30_000)
    clock.advance(600_000)
    assert store.reap(10).overdue_jobs == 1
    assert status_of(store.get("default", job_id))[2] == "QUEUE_TIME_EXCEEDED"
    assert store.reap(10).overdue_jobs == 0


def test_a_job_that_is_being_cancelled_ends_cancelled_at_its_deadline(store, jobs, clock):
    job_id = jobs.submit(units=1, deadline_ms=5_000)
    lease = jobs.claim()
    store.cancel("default", job_id)
    clock.advance(5_000)
    assert store.reap(10).overdue_jobs == 1
    record = store.get("default", job_id)
    assert (record.state, record.error) == (State.CANCELLED, b"")
    with pytest.raises(LeaseLost):
        store.stopped(lease, "w1")


@pytest.mark.parametrize("ending", ["finish", "fail", "cancel", "quarantine", "delete"])
def test_no_limit_is_left_of_a_job_that_has_ended(store, jobs, clock, redis, ending):
    job_id = jobs.submit(units=0, deadline_ms=600_000, queue_ms=600_000)
    assert redis.zcard("{sparring}:due") == 2
    if ending == "finish":
        store.finish(jobs.claim(), "w1", b"result", None)
    elif ending == "fail":
        store.fail(jobs.claim(), "w1", b"error")
    elif ending == "quarantine":
        for _ in range(3):
            jobs.claim()
            clock.advance(20_000)
            store.reap(10)
    else:
        store.cancel("default", job_id)
    if ending == "delete":
        store.delete("default", job_id)
    assert redis.zcard("{sparring}:due") == 0
    clock.advance(600_000)
    assert store.reap(10).overdue_jobs == 0


def test_reap_ends_no_more_jobs_than_it_is_told(store, jobs, clock):
    for _ in range(5):
        jobs.submit(deadline_ms=1_000)
    clock.advance(1_000)
    assert [store.reap(2).overdue_jobs for _ in range(4)] == [2, 2, 1, 0]


# Workers of which their parent says that they are dead


def test_a_unit_whose_worker_is_known_to_be_dead_is_open_at_once(store, jobs):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    assert store.lose(job_id, 0, lease.token, "killed by SIGKILL") is True
    assert store.renew(lease, "w1", 15_000) is Verdict.LOST
    lost = {"unit": 0, "kind": "lost", "worker": "w1", "attempt": 1, "cause": "killed by SIGKILL"}
    assert jobs.happened(job_id)[3:] == [("unit", lost), ("state", {"state": State.QUEUED})]
    assert store.position(store.get("default", job_id)).recovering
    assert jobs.claim("w2").attempt == 2


def test_a_death_whose_answer_was_lost_can_be_told_again(store, jobs):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    assert [store.lose(job_id, 0, lease.token, "killed by SIGKILL") for _ in range(2)] == [True, True]
    assert [kind for kind, _ in jobs.happened(job_id)].count("unit") == 2
    again = jobs.claim("w2")
    assert store.lose(job_id, 0, lease.token, "killed by SIGKILL") is True
    assert store.renew(again, "w2", 15_000) is Verdict.OK


@pytest.mark.parametrize("ended", ["lapsed", "committed", "released", "never there"])
def test_a_death_that_comes_too_late_changes_nothing(store, jobs, clock, ended):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    if ended == "lapsed":
        clock.advance(20_000)
        store.reap(10)
    elif ended == "committed":
        store.commit(lease, "w1", DIGEST, {})
    elif ended == "released":
        store.release(lease, "w1")
    token = lease.token + (ended == "never there")
    before = store.get("default", job_id)
    assert store.lose(job_id, 0, token, "killed by SIGKILL") is False
    assert store.lose("nobody", 0, token, "killed by SIGKILL") is False
    assert store.get("default", job_id) == before


def test_the_third_death_puts_the_job_into_quarantine_and_says_how_it_came(store, jobs):
    job_id = jobs.submit(units=1)
    for cause in ("killed by SIGKILL", "exit code 1", "killed by SIGSEGV"):
        lease = jobs.claim()
        store.lose(job_id, lease.unit, lease.token, cause)
    record = store.get("default", job_id)
    assert record.state is State.QUARANTINED
    code, message, reason, metadata = status_of(record)
    assert (code, reason) == (code_pb2.ABORTED, "UNIT_LOST")
    assert metadata == {"unit": "0", "attempts": "3", "worker": "w1", "cause": "killed by SIGSEGV"}
    assert "3 times, the last time with w1 (killed by SIGSEGV)" in message


def test_the_last_death_ends_a_job_that_is_being_cancelled(store, jobs):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    store.cancel("default", job_id)
    store.lose(job_id, 0, lease.token, "killed by SIGTERM")
    assert store.get("default", job_id).state is State.CANCELLED


@pytest.mark.parametrize(("lease_ms", "said"), [(15_000, "15 s"), (500, "0.5 s"), (3_600_000, "3600 s")])
def test_a_silent_worker_is_said_to_be_silent_for_as_long_as_its_last_lease(store, jobs, clock, lease_ms, said):
    job_id = jobs.submit(units=1)
    store.renew(jobs.claim(), "w1", lease_ms)
    clock.advance(lease_ms)
    store.reap(10)
    assert jobs.happened(job_id)[-2][1]["cause"] == f"not heard of for {said}"
