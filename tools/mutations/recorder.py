"""A pytest plugin for the runs of `tools.mutations`: is the copy what is tested, and what became of each test.

SPARRING_MUTANT_TREE      the copy; every package of this project has to come from there, in child processes too
SPARRING_MUTANT_REPORT    a file to which a JSON object a line is added: test, phase, outcome, error, message
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

PACKAGES = ("services", "workers", "sparring", "tools")
# Where a child process would take the packages from; it runs elsewhere, so only the environment leads it to the copy.
_PROBE = f"import importlib.util as u; print(*(u.find_spec(name).origin for name in {PACKAGES[:-1]}), sep='\\n')"


def pytest_configure() -> None:
    """Refuse to go on where the code under test is not that of the copy."""
    tree = Path(os.environ["SPARRING_MUTANT_TREE"]).resolve()
    own = [str(spec.origin) for name in PACKAGES[:-1] if (spec := importlib.util.find_spec(name)) is not None]
    probe = subprocess.run([sys.executable, "-c", _PROBE], cwd="/", capture_output=True, text=True, check=True)
    for origin in own + probe.stdout.split():
        if not Path(origin).resolve().is_relative_to(tree):
            raise pytest.UsageError(f"{origin} would be tested, which is not in {tree}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the kind of error, which reports alone do not tell."""
    report = yield
    error = "" if call.excinfo is None else call.excinfo.typename
    message = "" if call.excinfo is None else call.excinfo.exconly()
    line = {"test": item.nodeid.partition("[")[0], "phase": report.when, "outcome": report.outcome}
    with Path(os.environ["SPARRING_MUTANT_REPORT"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line | {"error": error, "message": message[:300]}) + "\n")
    return report
