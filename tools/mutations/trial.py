"""Runs tests on a copy of the code, and judges what came out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.mutations.mutation import AnchorError, Mutation

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (".git", ".venv", "out", "build", "dist", "shared", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
# For the tests of one mutation, and for all of them without any; a busy machine takes many times what a quiet one does.
LIMIT_S, GREEN_LIMIT_S = 300.0, 1200.0
# A test that fails by one of these has not looked at anything: the mutation is broken, or the machine.
NOT_A_JUDGEMENT = (
    "ImportError",
    "ModuleNotFoundError",
    "SyntaxError",
    "IndentationError",
    "NameError",
    "FixtureLookupError",
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one mutation; `problem` is empty where it was caught."""

    mutation: Mutation
    problem: str
    seconds: float
    # For each named test the first words of the error that it ended with.
    errors: dict[str, str]


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the code as it stands, dropped afterwards."""
    with tempfile.TemporaryDirectory(prefix="sparring-mutant-") as folder:
        yield Path(shutil.copytree(ROOT, Path(folder) / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT)))


def run(tree: Path, tests: Sequence[str], limit_s: float = LIMIT_S) -> tuple[int, list[dict[str, Any]], str]:
    """Run tests in a copy: pytest's exit code, the phases that the recorder noted, the end of the output."""
    report = tree / "report.jsonl"
    environment = os.environ | {
        "PYTHONPATH": f"{tree / 'protos'}{os.pathsep}{tree}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPARRING_MUTANT_TREE": str(tree),
        "SPARRING_MUTANT_REPORT": str(report),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tools.mutations.recorder", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *tests],
            cwd=tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, [], f"not over after {limit_s:.0f} s"
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    return done.returncode, [json.loads(line) for line in lines], done.stdout[-2000:]


def red_before(tests: Sequence[str]) -> str:
    """Why these tests can't judge a mutation: they are not green as things stand. Empty where they are."""
    with copied() as tree:
        code, phases, output = run(tree, tests, GREEN_LIMIT_S)
    missing = set(tests) - {phase["test"] for phase in phases if phase["phase"] == "call"}
    if code == 0 and not missing:
        return ""
    return f"not green without any mutation (exit code {code}; not run: {sorted(missing)}):\n{output}"


def judge(mutation: Mutation) -> Verdict:
    """Apply a mutation to a copy and run its tests there."""
    begun = time.monotonic()
    with copied() as tree:
        try:
            mutation.apply(tree)
        except AnchorError as error:
            return Verdict(mutation=mutation, problem=str(error), seconds=0.0, errors={})
        code, phases, output = run(tree, mutation.tests)
    errors = {phase["test"]: phase["message"] for phase in phases if is_judgement(phase)}
    problem = ""
    if code not in {0, 1}:
        problem = f"broken: pytest ended with {code}:\n{output}"
    elif spoilt := [phase["message"] for phase in phases if phase["outcome"] == "failed" and not is_judgement(phase)]:
        problem = f"broken: a test failed without having looked: {spoilt[0]}"
    elif silent := [test for test in mutation.tests if test not in errors]:
        problem = f"SURVIVED {', '.join(silent)}"
    return Verdict(mutation=mutation, problem=problem, seconds=time.monotonic() - begun, errors=errors)


def is_judgement(phase: dict[str, Any]) -> bool:
    """Whether a test failed, in its own lines, because it saw something wrong."""
    failed = phase["phase"] == "call" and phase["outcome"] == "failed"
    return failed and phase["error"] not in NOT_A_JUDGEMENT and not phase["message"].startswith("Failed: Timeout")
