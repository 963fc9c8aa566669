"""Two workers of different classes of device, as processes, and jobs that ask for one of them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import sparring
from sparring.v1.catalog_pb2 import WorkerInfo
from sparring.v1.jobs_pb2 import Job, Waiting

from services.local import LocalStack

pytestmark = pytest.mark.xdist_group("device-classes")
TRAINING = {"architecture": "softmax_regression", "epochs": 1, "count": 100, "evaluation_data": "digits"}
MEMORY_GIB = 1024


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """That of the next worker to be started."""
    return {"SPARRING_DEVICE_CLASS": "red", "SPARRING_PREVIEWS": "0", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[LocalStack]:
    """Two workers: the first of class red, the second of none."""
    folder = tmp_path_factory.mktemp("classes")
    with LocalStack(workers=1, data_dir=folder, worker_environment=environment) as running:
        environment["SPARRING_DEVICE_CLASS"] = ""
        running.scale(2)
        running.wait_until_ready()
        yield running


@pytest.fixture
def client(stack: LocalStack) -> Iterator[sparring.Client]:
    with sparring.connect(stack.target) as connected:
        yield connected


def workers(client: sparring.Client) -> list[WorkerInfo]:
    return list(client.catalog.info().workers)


def test_workers_tell_their_class_and_the_memory_that_they_may_use(client) -> None:
    assert sorted(worker.device_class for worker in workers(client)) == ["", "red"]
    assert all(worker.memory_bytes > 1 << 28 for worker in workers(client))


def test_jobs_run_only_where_they_ask_to_be_run_and_no_other_job_waits_for_that(client) -> None:
    (red,) = (worker.id for worker in workers(client) if worker.device_class == "red")
    asking = [client.train("digits", seed=seed, device_class="red", **TRAINING) for seed in range(3)]
    plain = [client.train("digits", seed=seed, **TRAINING) for seed in range(3)]
    for job in (*asking, *plain):
        assert client.jobs.wait(job, timeout_s=180).state == Job.STATE_SUCCEEDED
    took = [event.unit_change.worker for job in asking for event in client.jobs.watch(job) if event.unit_change.worker]
    assert set(took) == {red}


def test_a_job_that_no_worker_fits_waits_says_why_and_runs_as_soon_as_one_does(client, stack, environment) -> None:
    job = client.train("digits", seed=9, device_class="blue", **TRAINING)
    waiting = client.jobs.get(job).waiting
    assert waiting.reason == Waiting.REASON_NO_WORKER
    assert waiting.message.startswith("no worker has a device of class blue; there are 1 CPU worker")
    too_much = client.train("digits", seed=9, min_device_memory_gib=MEMORY_GIB, **TRAINING)
    assert "1024 GiB or more" in client.jobs.get(too_much).waiting.message
    behind = client.train("digits", seed=10, **TRAINING)
    assert client.jobs.wait(behind, timeout_s=180).state == Job.STATE_SUCCEEDED
    assert client.jobs.get(job).state == Job.STATE_QUEUED

    environment["SPARRING_DEVICE_CLASS"] = "blue"
    stack.scale(3)
    assert client.jobs.wait(job, timeout_s=180).state == Job.STATE_SUCCEEDED
    client.jobs.cancel(too_much)


def test_an_idle_worker_that_fits_is_woken_beside_others_that_do_not(client, stack) -> None:
    stack.wait_until_ready()
    slowest = 0.0
    for seed in range(20, 26):
        began = time.monotonic()
        job = client.train("digits", seed=seed, device_class="red", **TRAINING)
        assert client.jobs.wait(job, timeout_s=180).state == Job.STATE_SUCCEEDED
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 30, f"{slowest:.1f} s"
