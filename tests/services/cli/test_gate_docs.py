"""What the documentation tells people to run is what the command takes."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import yaml

from services.cli.app import root
from services.cli.gating import Asked

DOCS = Path(__file__).parents[3] / "docs"
WORKFLOW = DOCS / "examples" / "robustness-gate.yml"


def workflow():
    return yaml.safe_load(WORKFLOW.read_text())


def steps():
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def commands_of_the_workflow():
    """Its `run` lines with what GitHub would put into them."""
    lines = [re.sub(r"\$\{\{.*?\}\}|\$GITHUB_STEP_SUMMARY", "word", step["run"]) for step in steps() if "run" in step]
    return [line for line in lines if line.startswith("sparring")]


def commands_of_the_page():
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / "gate.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("sparring")]


def parsed(line):
    """What click makes of a command line, without running it."""
    _, name, *words = shlex.split(line, comments=True)
    command = root.get_command(None, name)
    return name, command.make_context(name, words).params


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with the files that the lines name."""
    monkeypatch.chdir(tmp_path)
    for folder in ("models", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "models" / "net.safetensors").write_bytes(b"weights")


def test_every_line_is_understood(checkout):
    lines = [*commands_of_the_workflow(), *commands_of_the_page()]
    names = []
    for line in lines:
        name, params = parsed(line)
        names.append(name)
        if name == "gate":
            Asked(**{field.name: params[field.name] for field in dataclasses.fields(Asked)}).check()
    assert {"gate", "compare", "leaderboard"} <= set(names)
    assert names.count("gate") >= 3


def test_the_workflow_keeps_what_the_gate_writes():
    (kept,) = [step for step in steps() if "upload-artifact" in step.get("uses", "")]
    assert kept["if"] == "always()"
    written = parsed_first()
    assert kept["with"]["path"].split() == [str(written["junit"]), str(written["report"])]


def parsed_first():
    return parsed(commands_of_the_workflow()[0])[1]


def test_the_workflow_is_one_that_github_would_take():
    """`on` is a boolean to YAML 1.1, as GitHub's own parser knows."""
    document = workflow()
    assert set(document) == {"name", True, "permissions", "jobs"}
    for job in document["jobs"].values():
        assert job["runs-on"]
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    assert document["permissions"] == {"contents": "read"}
