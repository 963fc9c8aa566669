"""Options, stacks and the table of the fault suite.

--faults-seed N     the schedule of every injection is a function of it; random, and printed, where it is not given
--faults-scale X    how much is injected: 1 for CI, 10 for a nightly run. What is done on both stores is done to each of
                    them half as often as it is wanted in all.
CI=true or SPARRING_FAULTS_MUST_RUN=1    what is not installed fails instead of skipping
"""

from __future__ import annotations

import itertools
import random
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from . import results
from .results import Row
from .runs import Bench
from .stack import FaultStack

STORES = ("valkey", "redis")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults-seed", type=int, default=None, help="seed of every schedule of injections")
    group.addoption("--faults-scale", type=float, default=1.0, help="how much is injected: 1 in CI, 10 nightly")


def seed_of(config: pytest.Config) -> int:
    """The seed of this session; the same in every process of it."""
    return config.stash.setdefault(SEED, _given(config))


SEED = pytest.StashKey[int]()


def _given(config: pytest.Config) -> int:
    handed = getattr(config, "workerinput", {}).get("faults_seed")
    given = config.getoption("--faults-seed", default=None) if handed is None else handed
    return secrets.randbelow(1 << 31) if given is None else int(given)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Hand the seed to a process of pytest-xdist."""
    node.workerinput["faults_seed"] = seed_of(node.config)


def scale_of(config: pytest.Config) -> float:
    return float(config.getoption("--faults-scale", default=1.0))


@pytest.fixture(scope="session")
def faults_seed(pytestconfig: pytest.Config) -> int:
    return seed_of(pytestconfig)


@pytest.fixture
def rng(faults_seed: int, request: pytest.FixtureRequest) -> random.Random:
    """The random numbers of one test: a function of the seed and the test's name."""
    return random.Random(f"{faults_seed} {request.node.name}")


@pytest.fixture
def scaled(pytestconfig: pytest.Config) -> Callable[[int], int]:
    """How often, from how often in CI."""
    return lambda count: max(1, round(count * scale_of(pytestconfig)))


@pytest.fixture
def report(request: pytest.FixtureRequest, faults_seed: int) -> Callable[[Row], None]:
    """Adds a row to the table; whether it passed is read off the test."""

    def add(row: Row) -> None:
        request.node.user_properties.append(("faults", asdict(replace(row, seed=faults_seed))))

    return add


@pytest.fixture(scope="session", params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return request.param


_stacks = itertools.count()


@pytest.fixture(scope="session")
def bench(store: str, fast_folder: Path) -> Iterator[Bench]:
    """Three workers on one of the stores, with what every job of the load comes to when nothing happens.

    A process that comes back to a store after the other one begins a new stack: there is one at a time.
    """
    with FaultStack(fast_folder / f"faults-{store}-{next(_stacks)}", store).running() as stack:
        yield Bench.prepare(stack)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give longer runs more time."""
    for item in items:
        if item.get_closest_marker("faults") and Path(__file__).parent in item.path.parents:
            limit = item.get_closest_marker("timeout")
            if limit is not None:
                item.add_marker(pytest.mark.timeout(limit.args[0] * max(1.0, scale_of(config))), append=False)


# The table.


def pytest_report_header(config: pytest.Config) -> str:
    return f"faults: --faults-seed {seed_of(config)} --faults-scale {scale_of(config):g}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Say how a failure is seen again."""
    outcome = yield
    found = outcome.get_result()
    if found.failed and item.get_closest_marker("faults"):
        seed, scale = seed_of(item.config), scale_of(item.config)
        command = f"{Path(sys.executable).name} -m pytest -m faults {shlex.quote(item.nodeid)}"
        found.sections.append(("replay", f"{command} --faults-seed {seed} --faults-scale {scale:g}"))


def pytest_terminal_summary(terminalreporter) -> None:
    rows = []
    for outcome in ("passed", "failed"):
        for found in terminalreporter.stats.get(outcome, []):
            given = [value for name, value in getattr(found, "user_properties", []) if name == "faults"]
            if getattr(found, "when", "") == "call":
                rows += [replace(Row(**value), passed=outcome == "passed") for value in given]
    if rows:
        rows.sort(key=lambda row: (row.store, row.fault))
        terminalreporter.section("faults")
        for line in results.table(rows):
            terminalreporter.write_line(line)
        seed = seed_of(terminalreporter.config)
        terminalreporter.write_line(f"seed {seed}; written to {results.write(rows)}")
