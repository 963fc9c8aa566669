"""The Celery side of a worker: a doorbell, and a parent that stays small."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from services.settings import StoreSettings, WorkerSettings
from workers import app


def test_the_parent_process_never_loads_torch() -> None:
    code = "import sys, workers.app; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://store:6379/2", "redis://:a%2Fb%40c@store:6379/2"),
        ("rediss://somebody:old@store:6379", "rediss://somebody:a%2Fb%40c@store:6379"),
        ("unix:///run/store.sock", "redis+socket://:a%2Fb%40c@/run/store.sock"),
    ],
)
def test_celery_s_address_carries_the_password(url: str, expected: str) -> None:
    assert app.broker_url(StoreSettings(url, redis_password="a/b@c")) == expected


def test_celery_s_address_without_a_password_is_the_store_s() -> None:
    assert app.broker_url(StoreSettings("redis://store:6379/2")) == "redis://store:6379/2"
    assert app.broker_url(StoreSettings("unix:///run/store.sock")) == "redis+socket:///run/store.sock"


def test_celery_is_a_doorbell_only() -> None:
    configuration = app.configuration(WorkerSettings(StoreSettings(), lane="gpu"))
    assert [queue.name for queue in configuration["task_queues"]] == ["gpu"]
    assert configuration["task_acks_late"] is False
    assert configuration["result_backend"] is None
    assert configuration["worker_pool_start_method"] == "spawn"
    assert configuration["worker_concurrency"] == 1
    assert configuration["broker_transport_options"]["global_keyprefix"] == "sparring:cel:"
    assert "sparring.bell" in app.app.tasks


def test_a_worker_waits_for_previews_unless_it_is_told_not_to() -> None:
    assert app.doorman_of(WorkerSettings.from_env({})) is not None
    assert app.doorman_of(WorkerSettings.from_env({"SPARRING_PREVIEWS": "0"})) is None


def test_a_child_that_was_not_started_by_celery_refuses_the_bell() -> None:
    with pytest.raises(AssertionError, match="before it hands it a bell"):
        app.bell()


def test_a_worker_that_can_not_start_ends_instead_of_pretending(redis_url) -> None:
    """A GPU worker on a machine without a GPU says so and leaves; its container or its stack sees that."""
    environment = os.environ | {"SPARRING_LANE": "gpu", "SPARRING_REDIS_URL": redis_url, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "--without-gossip", "--without-mingle"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=90)
    assert "this worker can't start" in done.stdout + done.stderr
