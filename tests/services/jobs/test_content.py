"""The job of a content: one that has succeeded is found by what it computed, for as long as it is there."""

import pytest

from services.errors import InvalidArgument
from services.jobs.record import ModelPart

KEPT = "{sparring}:kept:default"
DIGEST = "d" * 64


def asked(jobs, **changes):
    return jobs.new(**{"content": "c" * 64, "pins": "models/m=1", "units": 1} | changes)


def test_a_job_is_the_same_once_it_has_succeeded(store, jobs):
    first = store.submit(asked(jobs)).id
    assert store.same(asked(jobs)) is None
    jobs.run(first)
    assert store.same(asked(jobs)).id == first
    second = store.submit(asked(jobs)).id
    jobs.run(second)
    assert store.same(asked(jobs)).id == second, "the last one is kept for longest"


@pytest.mark.parametrize(
    "changes", [{"content": "e" * 64}, {"pins": "models/m=2"}, {"pins": ""}, {"tenant": "other"}, {"content": ""}]
)
def test_another_content_another_model_and_another_tenant_are_not_the_same(store, jobs, changes):
    jobs.run(store.submit(asked(jobs)).id)
    assert store.same(asked(jobs, **changes)) is None


def test_what_has_no_content_is_never_the_same(store, jobs, redis):
    jobs.run(store.submit(asked(jobs, content="", pins="")).id)
    assert store.same(asked(jobs, content="", pins="")) is None
    assert not redis.exists(KEPT)


@pytest.mark.parametrize("ending", ["fail", "cancel"])
def test_a_job_that_did_not_succeed_is_nobody_s(store, jobs, ending):
    job_id = store.submit(asked(jobs)).id
    _ = store.fail(jobs.claim(), "w1", b"error") if ending == "fail" else store.cancel("default", job_id)
    assert store.same(asked(jobs)) is None


@pytest.mark.parametrize("forgotten", ["deleted", "expired"])
def test_it_lapses_with_the_job(store, jobs, clock, redis, forgotten):
    first, second = (store.submit(asked(jobs)).id for _ in range(2))
    jobs.run(first)
    jobs.run(second)
    store.delete("default", first)
    assert store.same(asked(jobs)).id == second, "the content is another job's by now"
    if forgotten == "deleted":
        store.delete("default", second)
    else:
        clock.advance(8 * 86_400_000)
        store.expire(10)
    assert store.same(asked(jobs)) is None
    assert not redis.exists(KEPT)


def test_a_training_is_the_same_while_its_model_is_there(store, jobs):
    training = store.submit(asked(jobs, kind="training", pins="")).id
    jobs.run(training, model="m")
    assert store.same(asked(jobs, kind="training", pins="")).id == training
    store.unregister("default", "model", "m")
    assert store.same(asked(jobs, kind="training", pins="")) is None


def test_of_a_job_that_waited_the_model_that_came_is_looked_at(store, jobs):
    training = jobs.submit(units=0, kind="training")
    part = ModelPart(message=b"", made_by=training)
    waiting = asked(jobs, after=(training,), rest=b"", models=(part,), pins=f"jobs/{training}=")
    store.submit(waiting)
    jobs.run(training, model="n")
    jobs.run(waiting.id)
    assert store.same(asked(jobs, pins=f"models/n={DIGEST}")).id == waiting.id
    assert store.same(asked(jobs, pins=f"jobs/{training}=")) is None


def test_the_very_request_comes_first(store, jobs):
    jobs.run(store.submit(asked(jobs)).id)
    mine = asked(jobs, request_id="r", spec_hash="mine")
    store.submit(mine)
    again = asked(jobs, request_id="r", spec_hash="mine")
    assert store.same(again).id == mine.id
    with pytest.raises(InvalidArgument):
        store.same(asked(jobs, request_id="r", spec_hash="other"))
