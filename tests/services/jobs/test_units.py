"""A unit's life in a worker's hands: claim, renew, metric, commit, release; and what a stale token may not do."""

import math

import pytest

from services.errors import FailedPrecondition, LeaseLost
from services.jobs.record import Verdict
from services.jobs.states import State

DIGEST, OTHER = "d" * 64, "e" * 64


def test_units_are_handed_out_in_the_order_of_submission_and_number(store, jobs):
    first, second = jobs.submit(units=11), jobs.submit(units=1)
    taken = [(lease.job_id, lease.unit) for lease in (jobs.claim() for _ in range(12))]
    assert taken == [(first, unit) for unit in range(11)] + [(second, 0)]
    assert jobs.nothing_to_claim()


def test_a_lease_says_everything_that_the_worker_needs(store, jobs):
    job_id = jobs.submit(units=2, kind="training", tenant="t", spec=b"\x00\xff")
    lease = jobs.claim("w7", lease_ms=5_000)
    record = store.get("t", job_id)
    named = (lease.job_id, lease.tenant, lease.unit, lease.units, lease.kind, lease.spec, lease.closing)
    assert named == (job_id, "t", 0, 2, "training", b"\x00\xff", False)
    assert (lease.attempt, lease.checkpoint) == (1, None)
    assert 0 < lease.deadline_ms - record.created_ms <= 7_000
    assert record.state is State.RUNNING
    assert record.started_ms is not None
    claimed = {"unit": 0, "kind": "claimed", "worker": "w7", "attempt": 1}
    assert jobs.happened(job_id)[1:] == [("state", {"state": State.RUNNING}), ("unit", claimed)]


def test_tokens_grow_over_all_jobs(store, jobs):
    jobs.submit(), jobs.submit()
    tokens = [jobs.claim().token for _ in range(4)]
    assert tokens == sorted(set(tokens))


def test_a_worker_takes_from_its_own_lane_and_from_any_in_the_order_of_submission(store, jobs):
    for lane in ("gpu", "cpu", "any", "cpu", "gpu"):
        jobs.submit(lane=lane, units=1)
    cpu = [jobs.claim(lane="cpu").job_id for _ in range(3)]
    gpu = [jobs.claim(lane="gpu").job_id for _ in range(2)]
    assert cpu == ["job-2", "job-3", "job-4"]
    assert gpu == ["job-1", "job-5"]
    assert jobs.nothing_to_claim("cpu")
    assert jobs.nothing_to_claim("gpu")


def test_a_claim_whose_answer_was_lost_gives_the_same_lease(store, jobs):
    jobs.submit(units=1)
    lease = store.claim("c", "w", "cpu", 15_000)
    assert store.claim("c", "w", "cpu", 15_000) == lease
    store.commit(lease, "w", DIGEST, {})
    assert store.claim("c", "w", "cpu", 15_000).token == lease.token
    assert store.renew(lease, "w", 15_000) is Verdict.LOST


def test_renew_keeps_the_lease(store, jobs, clock):
    jobs.submit(units=1)
    lease = jobs.claim(lease_ms=15_000)
    for _ in range(4):
        clock.advance(10_000)
        assert store.renew(lease, "w1", 15_000) is Verdict.OK
        assert store.reap(10) == 0
    clock.advance(15_000)
    assert store.reap(10) == 1
    assert store.renew(lease, "w1", 15_000) is Verdict.LOST


def test_a_checkpoint_is_given_to_the_next_worker(store, jobs, clock):
    jobs.submit(units=1)
    store.renew(jobs.claim(), "w1", 15_000, checkpoint=DIGEST)
    clock.advance(20_000)
    store.reap(10)
    assert jobs.claim("w2").checkpoint == DIGEST


def test_progress_is_the_share_of_all_units_the_closing_one_included(store, jobs, clock):
    job_id = jobs.submit(units=3)
    store.commit(jobs.claim(), "w1", DIGEST, {})
    one, two = jobs.claim("w1"), jobs.claim("w2")
    clock.advance(10_000)
    store.renew(one, "w1", 15_000, progress={"fraction": 0.5, "message": "half"})
    store.renew(two, "w2", 15_000, progress={"fraction": 0.1, "message": "a tenth"})
    progress = store.get("default", job_id).progress
    assert progress["fraction"] == pytest.approx(1.6 / 4)
    assert (progress["units_done"], progress["units_total"], progress["message"]) == (1, 4, "a tenth")
    assert progress["remaining_seconds"] == pytest.approx(10 * 2.4 / 1.6, rel=0.05)


def test_progress_is_told_when_it_moves_by_a_hundredth_or_a_second_has_passed(store, jobs, clock):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()

    def told(fraction, message=""):
        before = store.get("default", job_id).last_event
        store.renew(lease, "w1", 15_000, progress={"fraction": fraction, "message": message})
        return store.get("default", job_id).last_event - before

    assert told(0.5) == 1
    assert told(0.505) == 0
    assert told(0.53) == 1
    clock.advance(1_000)
    assert told(0.53) == 0
    assert told(0.531) == 1
    clock.advance(1_000)
    assert told(0.531, "other words") == 1


@pytest.mark.parametrize(("given", "kept"), [(-1, 0), (2, 0.5), (math.inf, 0.5)])
def test_a_fraction_is_held_between_0_and_1(store, jobs, given, kept):
    job_id = jobs.submit(units=1)
    store.renew(jobs.claim(), "w1", 15_000, progress={"fraction": given})
    assert store.get("default", job_id).progress["fraction"] == kept


def test_a_fraction_that_is_no_number_is_an_error(store, jobs):
    jobs.submit(units=1)
    with pytest.raises(ValueError, match="not a number"):
        store.renew(jobs.claim(), "w1", 15_000, progress={"fraction": math.nan})


def test_a_metric_is_told_once_however_often_it_is_sent(store, jobs):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    for name, value, step in [("loss", 0.5, 1), ("loss", 0.5, 1), ("accuracy", 0.5, 1), ("loss", 0.5, 2)]:
        store.metric(lease, name, value, step)
    metrics = [payload for kind, payload in jobs.happened(job_id) if kind == "metric"]
    assert metrics == [
        {"name": "loss", "value": 0.5, "step": 1},
        {"name": "accuracy", "value": 0.5, "step": 1},
        {"name": "loss", "value": 0.5, "step": 2},
    ]


def test_a_metric_beyond_all_numbers_is_told_as_the_largest(store, jobs):
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    for step, value in enumerate([math.inf, -math.inf, math.nan]):
        store.metric(lease, "loss", value, step)
    assert [p["value"] for kind, p in jobs.happened(job_id) if kind == "metric"] == [1e308, -1e308, 0]


def test_results_are_kept_with_their_figures(store, jobs):
    job_id = jobs.submit(units=2)
    zero, one = jobs.claim(), jobs.claim()
    assert store.commit(one, "w1", OTHER, {"seconds": 0.25, "n": [1, 2]})
    assert store.commit(zero, "w1", DIGEST, {})
    results = [(result.unit, result.digest, result.stats) for result in store.unit_results("default", job_id)]
    assert results == [(0, DIGEST, {}), (1, OTHER, {"seconds": 0.25, "n": [1, 2]})]
    assert store.get("default", job_id).units_done == 2


def test_the_last_commit_opens_the_closing_unit(store, jobs):
    jobs.submit(units=2)
    zero, one = jobs.claim(), jobs.claim()
    store.commit(one, "w1", DIGEST, {})
    assert jobs.nothing_to_claim()
    store.commit(zero, "w1", DIGEST, {})
    closing = jobs.claim()
    assert (closing.unit, closing.units, closing.closing) == (2, 2, True)


def test_a_job_without_units_has_a_closing_unit(store, jobs):
    jobs.submit(units=0)
    assert jobs.claim().closing


def test_a_commit_whose_answer_was_lost_can_be_repeated(store, jobs):
    job_id = jobs.submit(units=2)
    lease = jobs.claim()
    assert store.commit(lease, "w1", DIGEST, {"a": 1}) is True
    before = store.get("default", job_id)
    assert store.commit(lease, "w1", DIGEST, {"a": 1}) is False
    assert store.get("default", job_id) == before


def test_a_committed_unit_takes_no_other_digest(store, jobs):
    job_id = jobs.submit(units=2)
    lease = jobs.claim()
    store.commit(lease, "w1", DIGEST, {})
    with pytest.raises(FailedPrecondition) as refused:
        store.commit(lease, "w1", OTHER, {})
    assert refused.value.reason == "UNIT_RESULT_DIFFERS"
    assert store.unit_results("default", job_id)[0].digest == DIGEST


def test_the_closing_unit_is_not_committed(store, jobs):
    jobs.submit(units=0)
    with pytest.raises(FailedPrecondition) as refused:
        store.commit(jobs.claim(), "w1", DIGEST, {})
    assert refused.value.reason == "CLOSING_UNIT"


def test_release_opens_the_unit_again_and_charges_no_attempt(store, jobs):
    job_id = jobs.submit(units=1)
    for _ in range(5):
        lease = jobs.claim()
        assert lease.attempt == 1
        store.release(lease, "w1")
        store.release(lease, "w1")
        assert store.get("default", job_id).state is State.QUEUED
    assert jobs.states(job_id) == [State.QUEUED, State.RUNNING] * 5 + [State.QUEUED]
    released = {"unit": 0, "kind": "released", "worker": "w1", "attempt": 1}
    assert jobs.happened(job_id)[3] == ("unit", released)


def test_a_job_runs_on_while_another_unit_does(store, jobs):
    job_id = jobs.submit(units=2)
    one, _two = jobs.claim(), jobs.claim()
    store.release(one, "w1")
    assert store.get("default", job_id).state is State.RUNNING


def test_nothing_stops_that_was_not_cancelled(store, jobs):
    jobs.submit()
    with pytest.raises(FailedPrecondition):
        store.stopped(jobs.claim(), "w1")


@pytest.fixture(params=["committed by another", "lost", "failed", "deleted", "never there"])
def stale(request, store, jobs, clock):
    """A lease that is not held any more, in every way that this can come about."""
    job_id = jobs.submit(units=1)
    lease = jobs.claim()
    if request.param == "failed":
        other = jobs.submit(id="other", units=2)
        lease, failing = jobs.claim(), jobs.claim()
        assert lease.job_id == other
        store.fail(failing, "w1", b"error")
    else:
        clock.advance(20_000)
        store.reap(10)
    if request.param == "committed by another":
        store.commit(jobs.claim("w2"), "w2", DIGEST, {})
    if request.param == "deleted":
        store.cancel("default", job_id)
        store.delete("default", job_id)
    if request.param == "never there":
        lease = type(lease)(**{**vars(lease), "token": lease.token + 1})
    return lease


def test_a_stale_token_changes_nothing(store, stale, jobs):
    def everything():
        return [(record, jobs.happened(record.id)) for record in store.list("default")], store.ready_units("default")

    before = everything()
    assert store.renew(stale, "w1", 15_000, progress={"fraction": 0.9}, checkpoint=OTHER) is Verdict.LOST
    for refused in (
        lambda: store.commit(stale, "w1", DIGEST, {}),
        lambda: store.metric(stale, "loss", 1.0, 1),
        lambda: store.finish(stale, "w1", b"result", None),
        lambda: store.fail(stale, "w1", b"error"),
        lambda: store.release(stale, "w1"),
        lambda: store.stopped(stale, "w1"),
    ):
        with pytest.raises(LeaseLost):
            refused()
    assert everything() == before
