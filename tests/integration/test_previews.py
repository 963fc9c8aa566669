"""Previews on a whole stack: beside a training, and after a crash of the process that answers them."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
import sparring
from sparring import errors
from sparring.v1.jobs_pb2 import Job, Optimization

PATIENCE_S = 120


def previewers(stack) -> list[psutil.Process]:
    """The previewers of a stack's workers."""
    children = [child for number in (1, 2) for child in psutil.Process(stack.pid(f"worker-{number}")).children(True)]
    return [child for child in children if "workers.run.previewer" in " ".join(child.cmdline())]


def asked(client, model):
    """A preview, asked for again for as long as nobody answers."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return client.preview(model, ("mnist10k", 7), "bim", epsilon=0.2, steps=5)
        except (errors.Unavailable, errors.TimedOut):
            assert time.monotonic() < deadline


@pytest.fixture
def client(stack):
    with sparring.connect(stack.target) as connected:
        yield connected


@pytest.mark.timeout(400)
def test_previews_are_answered_while_a_training_runs_and_a_killed_previewer_harms_nothing(
    stack, api, client, model
) -> None:
    first = asked(client, model)
    assert previewers(stack)
    training = client.jobs.get(
        api.create(api.training(model_id="beside", optimization=Optimization(epochs=10_000, batch_size=50)))
    )
    api.until(training.name, lambda job: job.state == Job.STATE_RUNNING)
    assert asked(client, model).models == first.models
    for running in previewers(stack):
        os.kill(running.pid, signal.SIGKILL)
    assert asked(client, model).models == first.models
    assert client.jobs.get(training).state == Job.STATE_RUNNING, "all this was beside it"
    client.jobs.cancel(training)
    done = api.wait(training.name, 120)
    assert done.state == Job.STATE_CANCELLED, done.error
    assert [change.attempt for change in api.units(done.name)] == [1] * len(api.units(done.name))
