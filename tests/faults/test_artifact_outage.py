"""F17: the store of the artifacts' bytes goes away in the middle of a job and comes back: time is all that it costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sparring
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2

from services.local import LocalStack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

AWAY_S = 8.0
Job = jobs_pb2.Job


class Server:
    """An S3 server that can be stopped and started again; what it holds stays in this process."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._server.stop()
        self._server._server.server_close()

    def start(self) -> None:
        """Answer on the same port again."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    files = S3FileSystem(key="key", secret="secret", endpoint_url=running.endpoint)
    files.mkdir("sparring")
    yield running
    running.stop()


@pytest.fixture
def place(server: Server, tmp_path: Path) -> dict[str, str]:
    for name in ("key", "secret"):
        (tmp_path / name).write_text(name)
    return {
        "SPARRING_ARTIFACTS": f"s3://sparring/{tmp_path.name}",
        "SPARRING_S3_ENDPOINT": server.endpoint,
        "SPARRING_S3_KEY_FILE": str(tmp_path / "key"),
        "SPARRING_S3_SECRET_FILE": str(tmp_path / "secret"),
    }


def data(count: int) -> datasets_pb2.DataSelection:
    return datasets_pb2.DataSelection(dataset="mnist10k", count=count)


def training() -> jobs_pb2.TrainingSpec:
    return jobs_pb2.TrainingSpec(
        architecture="wong_cnn",
        data=data(500),
        evaluation_data=data(100),
        defense=defenses_pb2.Defense(standard=defenses_pb2.StandardTraining()),
        optimization=jobs_pb2.Optimization(epochs=1, batch_size=50),
        model_id="first",
    )


def attack() -> jobs_pb2.AttackSpec:
    return jobs_pb2.AttackSpec(
        model="models/first",
        data=data(320),
        attack=attacks_pb2.Attack(pgd=attacks_pb2.Pgd(epsilon=0.004, steps=40)),
        seed=7,
        execution=jobs_pb2.Execution(batch_size=32, shard_size=32),
    )


def result(job: Job) -> str:
    assert job.state == Job.STATE_SUCCEEDED, job.error
    return next(artifact.artifact for artifact in job.result.artifacts if artifact.role == "adversarial")


def test_an_s3_server_that_is_away_for_a_while_costs_a_job_nothing_but_time(
    server: Server, place: dict[str, str], tmp_path: Path
) -> None:
    kept = b"kept" * 1000
    with (
        LocalStack(1, tmp_path / "stack", environment=place) as stack,
        sparring.connect(stack.target, wait_for_ready=True) as client,
    ):
        client.jobs.wait(client.jobs.create(training()))
        before = client.artifacts.upload(kept)
        job = client.jobs.create(attack())
        for event in client.jobs.watch(job):
            if event.progress.units_done >= 2:
                break
        server.stop()
        away = threading.Timer(AWAY_S, server.start)
        away.start()
        ended = client.jobs.wait(job)
        away.join()
        lost = [event for event in client.jobs.watch(job) if event.unit_change.kind == jobs_pb2.UnitChange.KIND_LOST]
        assert lost == []
        assert "can't be used" in (stack.logs / "worker-1.log").read_text(), "the outage hit the job"
        assert "not serving: s3://sparring" in (stack.logs / "gateway.log").read_text()
        assert client.artifacts.read(before.name) == kept
        again = client.jobs.wait(client.jobs.create(attack()))
        assert result(again) == result(ended)
