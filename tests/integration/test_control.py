"""Watching, cancelling and retrying jobs that run."""

from __future__ import annotations

import time

import grpc
import pytest
from sparring.v1 import jobs_pb2

pytestmark = pytest.mark.xdist_group("stack")
Job = jobs_pb2.Job


def long_job(api, model: str) -> str:
    """Minutes of work, in shards."""
    return api.create(api.attack(model, api.slow(10_000), batch_size=32, shard_size=32))


def test_a_cancel_takes_effect_within_two_seconds(api, model: str) -> None:
    name = long_job(api, model)
    api.until(name, lambda job: job.progress.fraction > 0)
    asked = time.monotonic()
    answer = api.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=name))
    assert answer.state in (Job.STATE_CANCELLING, Job.STATE_CANCELLED)
    job = api.wait(name)
    took = time.monotonic() - asked
    assert job.state == Job.STATE_CANCELLED
    assert took < 2.0, f"{took:.2f} s"


def test_a_cancelled_training_stops_and_can_be_taken_up_again(api) -> None:
    spec = api.training(optimization=jobs_pb2.Optimization(epochs=20, batch_size=50))
    name = api.create(spec)
    api.until(name, lambda job: job.progress.fraction > 0.05)
    asked = time.monotonic()
    api.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=name))
    assert api.wait(name).state == Job.STATE_CANCELLED
    assert time.monotonic() - asked < 2.0
    api.jobs.RetryJob(jobs_pb2.RetryJobRequest(name=name))
    assert api.wait(name).state == Job.STATE_SUCCEEDED


def test_a_watch_can_be_taken_up_after_any_event(api, model: str) -> None:
    name = api.create(api.attack(model, api.fgsm(), batch_size=32, shard_size=32))
    first = []
    stream = api.jobs.WatchJob(jobs_pb2.WatchJobRequest(name=name), timeout=30)
    for event in stream:
        first.append(event)
        if len(first) == 5:
            stream.cancel()
            break
    rest = api.events(name, after=first[-1].event_id)
    whole = [*first, *rest]
    assert [event.event_id for event in whole] == list(range(1, len(whole) + 1))
    assert whole[-1].state_change.state == Job.STATE_SUCCEEDED
    fractions = [event.progress.fraction for event in whole if event.HasField("progress")]
    assert fractions == sorted(fractions)
    changes = [event.unit_change for event in whole if event.HasField("unit_change")]
    committed = sorted(unit.unit for unit in changes if unit.kind == jobs_pb2.UnitChange.KIND_COMMITTED)
    # 300 samples in shards of 32, and the closing unit.
    assert committed == list(range(11))


def test_a_watch_beyond_the_end_is_out_of_range(api, model: str) -> None:
    job = api.run(api.attack(model, api.fgsm(), count=32))
    with pytest.raises(grpc.RpcError) as caught:
        api.events(job.name, after=job.last_event_id + 1)
    assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE


def test_the_workers_say_what_they_hold(api, model: str) -> None:
    name = long_job(api, model)
    api.until(name, lambda job: job.progress.fraction > 0)
    until = time.monotonic() + 8
    while not (units := [worker.unit for worker in api.workers() if name in worker.unit]):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert units[0].startswith(f"{name}/units/")
    assert all(worker.versions["torch"] and worker.device_name for worker in api.workers())
    api.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=name))
    api.wait(name)
