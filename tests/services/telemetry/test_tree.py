"""The tree of a trace, as `python -m services.telemetry.tree` shows it."""

import subprocess
import sys

import pytest

from services.telemetry import tracing, tree


@pytest.fixture
def file(record, tmp_path):
    end = record()
    with tracing.span("first", begins=True):
        pass
    with (
        tracing.span("second", begins=True) as root,
        tracing.span("unit", {"sparring.unit": 0, "sparring.attempt": 1}),
        tracing.span("commit") as commit,
    ):
        commit.fail("LOST")
    end()
    return tmp_path / "spans.jsonl", root.context.trace_id


def show(*arguments):
    command = [sys.executable, "-m", "services.telemetry.tree", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_last_trace_is_shown_with_its_children_below_each_span(file):
    path, trace = file
    lines = show(path).stdout.splitlines()
    assert lines[0] == f"trace {trace}"
    assert [line[:10].rstrip() for line in lines[2:]] == ["second", "  unit", "    commit"]
    assert "unit=0 attempt=1" in lines[3]
    assert lines[4].endswith("FAILED LOST")


def test_another_trace_is_found_by_the_beginning_of_its_id(file):
    path, _ = file
    other = next(span["trace"] for span in tree.read(path) if span["name"] == "first")
    assert show(path, other[:12]).stdout.splitlines()[0] == f"trace {other}"


def test_a_trace_that_is_not_there_is_said(file, tmp_path):
    shown = show(file[0], "zz")
    assert (shown.returncode, shown.stderr.strip()) == (1, "there is no such trace in the file")
    (tmp_path / "empty").touch()
    assert show(tmp_path / "empty").returncode == 1
