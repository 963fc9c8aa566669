"""Poisonings through a real gateway and real workers: rows at the end, whatever is lost on the way."""

from __future__ import annotations

import json

import psutil
import pytest
from sparring import submit, verify
from sparring.client import connect
from sparring.v1 import jobs_pb2

pytestmark = pytest.mark.xdist_group("stack")
Unit = jobs_pb2.UnitChange


@pytest.fixture
def client(stack):
    with connect(stack.target) as opened:
        yield opened


def asked(poison: str, fractions: list[float], **given) -> jobs_pb2.PoisoningSpec:
    """A poisoning of 300 digits of 8x8 pixels, of seconds."""
    settings = {"architecture": "mlp", "count": 300, "epochs": 5, "batch_size": 50, "seed": 3}
    return submit.poison("digits", poison, fractions, **{**settings, **given}).poisoning


def test_label_flips_end_with_a_row_for_each_fraction(api, client) -> None:
    job = api.run(asked("label_flip:choice=loss", [0.4, 0.2], sanitizer="loss"))
    rows = job.result.poisoning_rows
    assert [(row.fraction, row.poisoned, row.samples) for row in rows] == [
        (0.0, 0, 300),
        (0.2, 60, 300),
        (0.4, 120, 300),
    ]
    assert rows[2].error.value > rows[0].error.value + 0.1
    assert all(row.sanitized_error.high > 0 for row in rows)
    assert job.resolution.units == 3
    assert api.download(job, "report").startswith(b"<!doctype html>")
    assert len(json.loads(api.download(job, "metrics"))["rows"]) == 3
    assert verify(client, job.name, units=1).ok


def test_a_backdoor_job_says_how_often_the_trigger_fires(api) -> None:
    job = api.run(asked("backdoor:trigger_label=7,trigger_size=2", [0.2], epochs=10))
    clean, poisoned = job.result.poisoning_rows
    assert poisoned.trigger_rate.value > 0.8
    assert clean.trigger_rate.value < 0.5


def test_machines_and_collisions_run_as_jobs_too(api) -> None:
    machine = asked(
        "svm_gradient:attacking_label=7,attacked_label=1,svm_samples=40,svm_validation=80,ascent_steps=5",
        [0.05],
        architecture="linear_svm",
        epochs=None,
        batch_size=None,
        cost=1,
        count=1000,
    )
    rows = api.run(machine).result.poisoning_rows
    assert [row.samples for row in rows] == [40, 42]
    rows = api.run(asked("feature_collision:targets=1,collision_steps=5", [0.05])).result.poisoning_rows
    assert rows[1].HasField("trigger_rate")


def test_a_worker_that_is_killed_costs_nothing_but_time(api) -> None:
    spec = asked("label_flip", [0.1], epochs=120)
    expected = units_of(api, api.run(spec, timeout_s=120))
    name = api.create(spec)
    api.until(name, lambda job: job.progress.fraction > 0.02)
    worker = next(worker for worker in api.workers() if worker.unit.startswith(name))
    psutil.Process(int(worker.id.split("-")[-2])).kill()
    job = api.wait(name, timeout_s=120)
    assert units_of(api, job) == expected
    assert any(unit.kind == Unit.KIND_LOST for unit in api.units(name))


def units_of(api, job: jobs_pb2.Job) -> list[str]:
    """The digests of what the units committed."""
    assert job.state == jobs_pb2.Job.STATE_SUCCEEDED, job.error
    return [unit["sha256"] for unit in json.loads(api.download(job, "manifest"))["units"]]
