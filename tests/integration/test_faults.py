"""Whatever is killed, jobs end with the bytes that they would have had."""

from __future__ import annotations

import os
import signal
import threading
import time

import grpc
import psutil
import pytest
from sparring.v1 import jobs_pb2, models_pb2

pytestmark = pytest.mark.xdist_group("stack")
Unit = jobs_pb2.UnitChange


@pytest.fixture(scope="module")
def spec(api, model: str) -> jobs_pb2.AttackSpec:
    """Ten shards of about half a second each."""
    return api.attack(model, api.slow(), batch_size=32, shard_size=32)


@pytest.fixture(scope="module")
def expected(api, spec: jobs_pb2.AttackSpec) -> str:
    """What two workers make of it when nothing happens."""
    return api.digest(api.run(spec))


@pytest.fixture(autouse=True)
def whole(stack) -> None:
    """Each test starts with everything running."""
    stack.wait_until_ready()


def pid(worker: str) -> int:
    """The process of a worker: its id is host, process, and a few random digits."""
    return int(worker.split("-")[-2])


def holder(api, name: str) -> psutil.Process:
    """The process that computes a unit of the job, once one has made some progress."""
    api.until(name, lambda job: job.progress.units_done >= 1)
    units = [worker for worker in api.workers() if worker.unit.startswith(name)]
    return psutil.Process(int((units or api.workers())[0].id.split("-")[-2]))


@pytest.mark.parametrize("workers", [1, 4])
def test_any_number_of_workers_makes_the_same_bytes(api, stack, spec, expected: str, workers: int) -> None:
    stack.scale(workers)
    stack.wait_until_ready()
    try:
        job = api.run(spec)
        assert api.digest(job) == expected
        assert len({unit.worker for unit in api.units(job.name)}) <= workers
    finally:
        stack.scale(2)


def test_a_worker_s_child_that_is_killed_costs_nothing_but_time(api, spec, expected: str) -> None:
    name = api.create(spec)
    holder(api, name).kill()
    assert api.digest(api.wait(name)) == expected


def test_a_worker_that_is_killed_costs_nothing_but_time(api, stack, spec, expected: str) -> None:
    name = api.create(spec)
    child = holder(api, name)
    child.parent().kill()
    assert api.digest(api.wait(name)) == expected
    # The child ends with its parent: nobody computes on behind everybody's back.
    child.wait(5)


def test_a_frozen_worker_s_late_result_is_not_taken(api, spec, expected: str) -> None:
    name = api.create(spec)
    frozen = holder(api, name)
    frozen.suspend()
    try:
        assert api.digest(api.wait(name)) == expected
    finally:
        frozen.resume()
    lost = [unit for unit in api.units(name) if unit.kind == Unit.KIND_LOST]
    assert len(lost) <= 1


def test_a_training_that_is_killed_ends_with_the_same_weights(api) -> None:
    spec = api.training(optimization=jobs_pb2.Optimization(epochs=8, batch_size=50), seed=3)
    expected = api.models.GetModel(models_pb2.GetModelRequest(name=api.run(spec).result.model)).weights
    name = api.create(spec)
    api.until(name, lambda job: job.progress.fraction > 0.2)
    unit = next(unit for unit in reversed(list(live_units(api, name))) if unit.kind == Unit.KIND_CLAIMED)
    psutil.Process(pid(unit.worker)).kill()
    job = api.wait(name)
    assert [unit.attempt for unit in api.units(name) if unit.kind == Unit.KIND_CLAIMED][:2] == [1, 2]
    assert api.models.GetModel(models_pb2.GetModelRequest(name=job.result.model)).weights == expected


def live_units(api, name: str):
    """The unit events so far, of a job that still runs."""
    job = api.get(name)
    stream = api.jobs.WatchJob(jobs_pb2.WatchJobRequest(name=name), timeout=30)
    for event in stream:
        if event.HasField("unit_change"):
            yield event.unit_change
        if event.event_id >= job.last_event_id:
            stream.cancel()
            return


def test_a_worker_that_is_told_to_end_gives_its_unit_back(api, model: str) -> None:
    # One unit, of a minute: too long to be finished before the worker has to be gone.
    name = api.create(api.attack(model, api.slow(10_000), count=64, batch_size=64, shard_size=64))
    api.until(name, lambda job: job.progress.fraction > 0)
    claimed = next(live_units(api, name))
    parent = psutil.Process(pid(claimed.worker)).parent()
    asked = time.monotonic()
    parent.terminate()
    assert parent.wait(30) in (0, None)
    assert time.monotonic() - asked < 30
    api.until(name, lambda _: len(list(live_units(api, name))) == 3)
    kinds = [(unit.kind, unit.attempt) for unit in live_units(api, name)]
    assert kinds == [(Unit.KIND_CLAIMED, 1), (Unit.KIND_RELEASED, 1), (Unit.KIND_CLAIMED, 1)]
    taken = list(live_units(api, name))[2]
    assert taken.worker != claimed.worker
    api.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=name))
    assert api.wait(name).state == jobs_pb2.Job.STATE_CANCELLED


def test_a_gateway_that_is_killed_loses_no_event(api, stack, spec, expected: str) -> None:
    name = api.create(spec)
    seen: list[int] = []
    breaks = 0

    def watch() -> None:
        nonlocal breaks
        ended = False
        while not ended:
            request = jobs_pb2.WatchJobRequest(name=name, after_event_id=seen[-1] if seen else 0)
            try:
                for event in api.jobs.WatchJob(request, timeout=30, wait_for_ready=True):
                    if not event.HasField("heartbeat"):
                        seen.append(event.event_id)
                    ended = ended or event.state_change.state == jobs_pb2.Job.STATE_SUCCEEDED
            except grpc.RpcError:
                breaks += 1

    watcher = threading.Thread(target=watch)
    watcher.start()
    while len(seen) < 5:
        time.sleep(0.02)
    os.kill(stack.pid("gateway"), signal.SIGKILL)
    watcher.join(60)
    assert not watcher.is_alive()
    assert breaks >= 1
    job = api.get(name)
    assert seen == list(range(1, job.last_event_id + 1))
    assert api.digest(job) == expected


def test_a_store_that_is_killed_comes_back_with_everything(api, stack, spec, expected: str) -> None:
    name = api.create(spec)
    api.until(name, lambda job: job.progress.units_done >= 1)
    os.kill(stack.pid("store"), signal.SIGKILL)
    codes = set()
    job = None
    deadline = time.monotonic() + 60
    while job is None and time.monotonic() < deadline:
        try:
            job = api.wait(name)
        except grpc.RpcError as error:
            codes.add(error.code())
            time.sleep(0.1)
    assert api.digest(job) == expected
    assert codes <= {grpc.StatusCode.UNAVAILABLE}
