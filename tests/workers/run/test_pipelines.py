"""The example of docs/pipelines.md from its file to its figures: a real gateway, and a worker that is no process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sparring
from sparring.pipeline import main_digest
from sparring.pipeline_document import read
from sparring.v1.jobs_pb2 import Job, Waiting

from services.cli import pipeline_file
from services.gateway.options import Options
from services.gateway.server import Gateway
from services.settings import GatewaySettings

EXAMPLE = Path(__file__).parents[3] / "examples" / "pipeline.yaml"


@pytest.fixture
def client(store_settings) -> Iterator[sparring.Client]:
    """A client of a gateway that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    gateway = Gateway(GatewaySettings(store_settings, listen="127.0.0.1:0"), Options(drain_s=0))
    address = asyncio.run_coroutine_threadsafe(gateway.start(), loop).result(60)
    with sparring.connect(address) as connected:
        yield connected
    asyncio.run_coroutine_threadsafe(gateway.stop(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def document():
    return pipeline_file.load(EXAMPLE).content


def test_the_example_runs_in_one_go_and_never_again(bench, client, document) -> None:
    run = read(document).submit(client)
    waiting = {name: job.waiting.reason for name, job in run.jobs.items()}
    assert {name for name, reason in waiting.items() if reason == Waiting.REASON_DEPENDENCY} == {
        "broken",
        "plain-judged",
        "hardened-judged",
    }
    bench.serve()
    jobs = run.wait(check=True)
    assert jobs["plain-judged"].resolution.models[0].weights_sha256 == main_digest(jobs["plain"])
    assert jobs["broken"].resolution.models[0].name == jobs["plain"].result.model
    plain, hard = ({row.attack: row for row in jobs[name].result.rows} for name in ("plain-judged", "hardened-judged"))
    assert hard["pgd"].robust_accuracy.value > plain["pgd"].robust_accuracy.value
    assert [round(row.parameters.fgsm.epsilon, 6) for row in (plain["fgsm"], hard["fgsm"])] == [0.15, 0.15]
    (compared,) = run.comparisons().values()
    assert len(compared.contenders) == 2

    again = read(document).submit(client)
    assert again.reused == set(again.jobs)
    assert {name: job.name for name, job in again.jobs.items()} == {name: job.name for name, job in jobs.items()}
    other = read(document, {"epsilon": "0.1"}).submit(client)
    assert other.reused == {"plain"}


def test_a_waiting_job_is_what_it_would_have_been_had_it_been_asked_for_later(bench, client) -> None:
    """Plan, cost and figures of an evaluation are the same whether its model was there or not."""
    trained = client.train("digits", architecture="softmax_regression", model_id="m", epochs=1, mean=[0.5], std=[0.5])
    asked = {"attacks": ["fgsm:epsilon=0.1"], "count": 100}
    early, by_job = client.evaluate("models/m", "digits", **asked), client.evaluate(trained, "digits", **asked)
    bench.serve()
    late = client.evaluate("m", "digits", **asked)
    bench.serve()
    first, second, third = (client.jobs.wait(job, check=True) for job in (early, by_job, late))
    assert first.resolution == second.resolution == third.resolution
    assert [row.robust_accuracy for row in first.result.rows] == [row.robust_accuracy for row in third.result.rows]
    assert client.evaluate("models/m", "digits", **asked, reuse=True).name == third.name


def test_what_ends_badly_ends_the_rest(bench, client) -> None:
    lines = sparring.Pipeline()
    wild = {"learning_rate": 100, "optimizer": "sgd", "epochs": 2, "std": [1e-20]}
    plain = lines.train("plain", "digits", architecture="mlp", **wild)
    lines.compare("side", [lines.attack("broken", plain, "digits", "fgsm")])
    run = lines.submit(client)
    bench.serve()
    ended = run.wait()
    assert {job.state for job in ended.values()} == {Job.STATE_FAILED}
    assert "which this job waited for, ended FAILED" in ended["broken"].error.message
    assert run.comparisons() == {}
