"""Pipelines on a running service: the example of the docs, and jobs that wait while workers die."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import sparring
from sparring.pipeline_document import read
from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2

from services.cli import pipeline_file
from services.cli.app import run

pytestmark = pytest.mark.xdist_group("stack")
Job = jobs_pb2.Job
EXAMPLE = Path(__file__).parents[2] / "examples" / "pipeline.yaml"


def test_the_example_runs_to_its_end_and_is_over_at_once_the_second_time(api, stack, capsys) -> None:
    command = ["run", str(EXAMPLE), "--wait", "--json", "--server", stack.target]
    assert run(command) == 0
    first = json.loads(capsys.readouterr().out)
    made = {step["name"]: step for step in first["steps"]}
    assert all(step["state"] == "SUCCEEDED" for step in made.values() if "job" in step)
    assert all(len(step["digest"]) == 64 and not step["reused"] for step in made.values() if "job" in step)
    assert set(first["compared"]) == {"side-by-side"}
    judged = api.get(made["hardened-judged"]["job"])
    assert judged.resolution.models[0].weights_sha256 == made["hardened"]["digest"]
    assert judged.after == [made["hardened"]["job"]]

    began = time.monotonic()
    assert run(command) == 0
    again = json.loads(capsys.readouterr().out)
    assert time.monotonic() - began < 5, "nothing is computed"
    assert [{**step, "reused": True} for step in first["steps"] if "job" in step] == [
        step for step in again["steps"] if "job" in step
    ]
    assert again["compared"] == first["compared"]

    assert run([*command, "--var", "epsilon=0.1"]) == 0
    other = {step["name"]: step for step in json.loads(capsys.readouterr().out)["steps"]}
    assert {name for name, step in other.items() if step.get("reused")} == {"plain"}
    assert run([*command[:2], "--server", stack.target]) == 0
    assert capsys.readouterr().out.count("SUCCEEDED, reused") == 5


def small(api, **changes) -> jobs_pb2.TrainingSpec:
    return api.training(optimization=jobs_pb2.Optimization(epochs=8, batch_size=50), **changes)


def test_a_worker_that_is_killed_before_the_next_job_is_ready_costs_nothing_but_time(api, stack) -> None:
    """The one that trains is killed while another job waits for its model; the bytes are those of a quiet run."""
    spec = small(api, seed=11)
    expected_model = api.run(spec)
    expected = api.digest(api.run(api.attack(expected_model.name, api.fgsm())))
    trained = api.create(spec)
    attack = api.create(api.attack(trained, api.fgsm()))
    waiting = api.get(attack).waiting
    assert (waiting.reason, list(waiting.jobs)) == (jobs_pb2.Waiting.REASON_DEPENDENCY, [trained])
    api.until(trained, lambda job: job.progress.fraction > 0.2)
    holder = next(worker for worker in api.workers() if worker.unit.startswith(trained))
    psutil.Process(int(holder.id.split("-")[-2])).kill()
    done = api.wait(attack)
    assert done.state == Job.STATE_SUCCEEDED, done.error
    assert api.digest(done) == expected
    made = api.models.GetModel(models_pb2.GetModelRequest(name=api.get(trained).result.model))
    assert done.resolution.models[0].weights_sha256 == made.weights.removeprefix("artifacts/")
    claimed = [unit for unit in api.units(attack) if unit.kind == jobs_pb2.UnitChange.KIND_CLAIMED]
    assert len(claimed) == done.resolution.units + 1, "each unit once"


def test_a_gateway_that_is_killed_in_between_loses_nobody_who_waits(api, stack) -> None:
    trained = api.create(small(api, seed=12))
    attack = api.create(api.attack(trained, api.fgsm(), count=64))
    os.kill(stack.pid("gateway"), signal.SIGKILL)
    stack.wait_until_ready()
    assert api.wait(attack).state == Job.STATE_SUCCEEDED
    assert api.get(trained).state == Job.STATE_SUCCEEDED


def test_a_training_that_fails_ends_what_waits_for_it_in_the_same_moment(api) -> None:
    wild = jobs_pb2.Optimization(epochs=2, learning_rate=100, optimizer=jobs_pb2.OPTIMIZER_SGD)
    trained = api.create(api.training(std=[1e-20], optimization=wild))
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=64)
    table = api.create(jobs_pb2.EvaluationSpec(models=[trained], data=data, attacks=[api.fgsm()]))
    assert api.wait(trained).state == Job.STATE_FAILED
    failed = api.get(table)
    assert (failed.state, api.reason(failed.error)) == (Job.STATE_FAILED, "DEPENDENCY_FAILED")


def test_python_and_the_file_make_the_same_pipeline(stack) -> None:
    document = pipeline_file.load(EXAMPLE)
    lines = sparring.Pipeline()
    plain = lines.train("plain", "digits", architecture="mlp", epochs=6, seed=1)
    hardened = {"epsilon": 0.15, "steps": 5, "epochs": 6, "seed": 1}
    lines.train("hardened", "digits", "pgd_adversarial", architecture="mlp", **hardened)
    lines.attack("broken", plain, "digits", "bim", epsilon=0.15)

    def plainly(step):
        request = jobs_pb2.CreateJobRequest()
        request.CopyFrom(step.request)
        request.ClearField("request_id")
        return request

    written = read(document.content).steps
    assert {name: plainly(step) for name, step in lines.steps.items()} == {
        name: plainly(written[name]) for name in lines.steps
    }
