"""Real containers for the tests of this folder: skipped with a sentence where they can't be had.

SPARRING_SYSTEM_MUST_RUN=1    fail instead (.ci/run)

What the containers printed up to a failure is left in out/system/. Images are kept, in `engine.CACHE` where the engine
is our own: delete that folder to begin anew.
"""

import os
import shutil
from collections.abc import Generator, Iterator

import pytest
import sparring

from .engine import Engine, UnavailableError, engine
from .stack import ROOT, Stack, deployment

FAILURES = ROOT / "out" / "system"


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """A Docker engine: the one that runs, or one of our own."""
    try:
        with engine() as running:
            yield running
    except UnavailableError as reason:
        if os.environ.get("SPARRING_SYSTEM_MUST_RUN") == "1":
            pytest.fail(f"the system tests must run, but: {reason}")
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def stack(docker: Engine) -> Iterator[Stack]:
    """The deployment, one for all tests."""
    shutil.rmtree(FAILURES, ignore_errors=True)
    with deployment(docker, FAILURES) as up:
        yield up


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[sparring.Client]:
    """A client of it."""
    with stack.connect() as connected:
        yield connected


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the containers' logs of a test that failed."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        stack.save_logs(FAILURES / item.name)
    return report
