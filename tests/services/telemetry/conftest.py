"""Spans that go to a file of the test, and are read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.telemetry import tracing, tree
from services.telemetry.settings import TelemetrySettings


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., Callable[[], list[tree.Line]]]]:
    """Begin to record; what that gives ends it, and returns the spans."""

    def begin(**settings: float) -> Callable[[], list[tree.Line]]:
        path = tmp_path / "spans.jsonl"
        tracing.configure("test", TelemetrySettings(traces=f"file:{path}", **settings))

        def end() -> list[tree.Line]:
            tracing.close()
            return tree.read(path)

        return end

    yield begin
    tracing.close()
