"""One embedded service for all pages, emptied between them, and what a page says that it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sparring
from sparring.v1.datasets_pb2 import DATASET_SOURCE_UPLOADED

from services.local import LocalStack
from services.local.launch import free_ports

from . import blocks
from .session import Session

JOB_S = 300.0
# The two nets that pages talk of, trained briefly: they stand for those of the tutorial.
NETS = {
    "my-net": ("standard", {"epochs": 2}),
    "hardened": ("pgd_adversarial", {"epochs": 4, "epsilon": 0.2, "steps": 4}),
}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The service."""
    with LocalStack(1, tmp_path_factory.mktemp("service")) as stack:
        yield stack


@pytest.fixture(scope="session")
def client(stack: LocalStack) -> Iterator[sparring.Client]:
    """A client of it."""
    with sparring.connect(stack.target) as client:
        yield client


@pytest.fixture(scope="session")
def weights(client: sparring.Client, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Trains a net that pages are given, once, and says where its weights are."""
    folder = tmp_path_factory.mktemp("weights")

    def file(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            defense, options = NETS[name]
            job = client.train("mnist10k", defense, architecture="wong_cnn", seed=1, **options)
            done = client.jobs.wait(job, timeout_s=JOB_S, check=True)
            client.artifacts.download(client.jobs.artifact(done, "weights"), path)
        return path

    return file


def _empty(client: sparring.Client) -> None:
    """Forget jobs, models and datasets of the page before."""
    for job in list(client.jobs.list()):
        if job.state in {job.STATE_QUEUED, job.STATE_RUNNING}:
            client.jobs.cancel(job)
    for job in list(client.jobs.list()):
        client.jobs.wait(job, timeout_s=JOB_S)
        client.jobs.delete(job)
    for model in list(client.models.list()):
        client.models.delete(model)
    for dataset in list(client.datasets.list()):
        if dataset.source == DATASET_SOURCE_UPLOADED:
            client.datasets.delete(dataset)


@pytest.fixture(scope="session")
def session_of(
    stack: LocalStack, client: sparring.Client, weights: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Session]]:
    """Gives the session of a page; there is one at a time, that of the page before ends with it."""
    current: dict[str, Session] = {}

    def session(page: str) -> Session:
        if page not in current:
            for old in current.values():
                old.close()
            current.clear()
            _empty(client)
            given = blocks.read(page).given
            for name in NETS.keys() & given:
                shape = {"architecture": "wong_cnn", "input_shape": [1, 28, 28], "classes": 10}
                client.models.upload(weights(name), model_id=name, **shape)
            folder = tmp_path_factory.mktemp(page.replace("/", "-").removesuffix(".md"))
            store = stack.store_environment if "store" in given else {}
            current[page] = Session(folder, stack.target, {**store, "FREE_PORT": str(free_ports(0, 1)[0])})
        return current[page]

    yield session
    for old in current.values():
        old.close()
