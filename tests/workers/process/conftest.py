"""A real Celery worker on a store of its own, and jobs whose specs say what is to become of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from services.jobs.record import NewJob
from services.jobs.states import State
from services.jobs.store import JobStore

HERE = Path(__file__).parent
ENVIRONMENT = {"SPARRING_STALL_S": "1", "PYTHONPATH": f"{HERE}{os.pathsep}{Path.cwd()}"}


class Bench:
    """A store, and a worker on it."""

    def __init__(self, store: JobStore, process: subprocess.Popen[str], log: Path) -> None:
        self.store, self.process, self.log = store, process, log

    def submit(self, spec: str, name: str = "job") -> None:
        self.store.submit(NewJob(id=name, kind="attack", spec=spec.encode(), spec_hash=name, units=1))

    def wait(self, condition: Callable[[], object], timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            # As the gateway's reaper does; but no lease ever runs out here.
            self.store.ring("cpu")
            time.sleep(0.02)

    def end(self, name: str = "job") -> State:
        self.wait(lambda: self.store.get("default", name).ended_ms is not None)
        return self.store.get("default", name).state

    def units(self, name: str = "job") -> list[dict]:
        return [event.payload for event in self.store.events(name, 0, 1000) if event.type == "unit"]

    def cause(self) -> str:
        return next(unit["cause"] for unit in self.units() if unit["kind"] == "lost")

    def taken(self) -> psutil.Process:
        """The child that took the job's first unit, once it has."""
        self.wait(self.units)
        return psutil.Process(int(self.units()[0]["worker"].split("-")[-2]))

    def status_at_end(self, timeout_s: float = 30.0) -> int:
        """The worker's own exit status."""
        return self.process.wait(timeout_s)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def worker(store: JobStore, url: str, folder: Path, application: str, lease_s: int) -> Iterator[Bench]:
    log = folder / "log"
    options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")
    command = [sys.executable, "-m", "celery", "-A", application, "worker", *options]
    environment = (
        os.environ
        | ENVIRONMENT
        | {
            "SPARRING_REDIS_URL": url,
            "SPARRING_LEASE_S": str(lease_s),
            "TMPDIR": str(folder),
        }
    )
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)
    try:
        yield Bench(store, process, log)
    finally:
        process.kill()
        process.wait()


Start = Callable[..., AbstractContextManager[Bench]]


@pytest.fixture
def start(job_store: JobStore, redis_url: str, tmp_path: Path) -> Start:
    """Start a worker, of poison_app.py unless told otherwise; no lease runs out, so who knows of a death was told."""
    return lambda application="poison_app", lease_s=600: worker(job_store, redis_url, tmp_path, application, lease_s)


@pytest.fixture
def bench(start: Start) -> Iterator[Bench]:
    """A worker that takes poison."""
    with start() as running:
        yield running
