"""The command, run in this process against the fake service of tests/client."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from sparring.v1.attacks_pb2 import NORM_LINF, Bim

from services.cli.app import run

FAKE = Path(__file__).parents[2] / "client" / "fake" / "__init__.py"


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def data(self):
        return json.loads(self.out)


@pytest.fixture(scope="session")
def fake():
    """The fake of the client's tests; test folders are no packages."""
    if "sparring_fake" not in sys.modules:
        spec = importlib.util.spec_from_file_location("sparring_fake", FAKE)
        sys.modules["sparring_fake"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["sparring_fake"])
    return sys.modules["sparring_fake"]


@pytest.fixture(autouse=True)
def quick_retries(fake, monkeypatch):
    fake.retry_quickly(monkeypatch)


@pytest.fixture
def server(fake, monkeypatch):
    running = fake.Server()
    monkeypatch.setenv("SPARRING_SERVER", running.target)
    yield running
    running.stop()


@pytest.fixture
def service(server):
    return server.service


@pytest.fixture
def sparring(server, capsys):
    """`sparring("jobs list")`: run a command line (a text, or words) and see what came of it."""

    def call(line):
        code = run(line.split() if isinstance(line, str) else line)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def evaluated(service):
    """The job jobs/j, with a result of every kind."""
    job = service.add_job("jobs/j", display_name="a comparison")
    job.evaluation.models.append("models/a-model-with-quite-a-long-name")
    job.evaluation.attacks.add(bim=Bim(epsilon=8 / 255, steps=20, norm=NORM_LINF))
    result = job.result
    for attack in ("clean", "fgsm", "iterative_least_likely", "worst_case"):
        row = result.rows.add(model="models/a-model-with-quite-a-long-name", defense="pgd_adversarial", attack=attack)
        row.n, row.epsilon, row.norm = 2000, 8 / 255, NORM_LINF
        row.clean_accuracy.value = 0.987
        row.robust_accuracy.value, row.robust_accuracy.low, row.robust_accuracy.high = 0.5, 0.478, 0.522
    result.rows.add(model="models/a", attack="bim", epsilon=0.1, curve=True, violations=2)
    result.warnings.append("non-adaptive evaluation; upper bound only")
    for role, filename in (("report", "report.html"), ("metrics", "../metrics.json")):
        content = f"the {role}".encode()
        result.artifacts.add(role=role, artifact=service.keep(content), size_bytes=len(content), filename=filename)
    return job
