"""The command, run in this process against the fake service of tests/client."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from services.cli.app import run

FAKE = Path(__file__).parents[2] / "client" / "fake.py"


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
