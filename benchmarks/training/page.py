"""The tables of docs/benchmarks.md, written from the results between two markers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.attacks.page import between, heading, table, verdict
from benchmarks.training.targets import reason, targets

BEGIN, END = "<!-- bench-training: begin, written by `make bench-training` -->", "<!-- bench-training: end -->"
HEAD = "trainer | s an epoch | ours takes of it | forwards | backwards | weight gradients | passes a sample | peak MiB"

Row = dict[str, Any]


def write(page: Path, results: Mapping[str, Row]) -> None:
    """Put the tables of every run between the markers of `page`."""
    between(page, BEGIN, END, (line for name in sorted(results) for line in of_run(results[name])))


def of_run(run: Row) -> Iterator[str]:
    """One run's tables."""
    yield from heading(run["about"])
    found = []
    for key, comparison in run["comparisons"].items():
        yield from _comparison(key, comparison)
        found += targets(key, comparison)
    yield from verdict(found, reason)


def _comparison(key: str, comparison: Row) -> Iterator[str]:
    case = comparison["case"]
    yield (
        f"{key}: an epoch is {case['digits']:,} digits in {case['batches']} batches; {case['epochs']} epochs, each a "
        f"round. The floor is 2 K + 3 = {case['floor']} passes a sample."
    )
    yield ""
    head = HEAD + (" | accuracy | robust accuracy" if case["judged"] else "")
    yield from table(head, [_cells(name, row, judged=case["judged"]) for name, row in comparison["rows"].items()])


def _cells(name: str, row: Row, *, judged: bool) -> list[str]:
    passes = [f"{row[what]:.2f}" for what in ("forwards", "backwards", "weight_gradients", "passes")]
    memory = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.0f}"
    seconds = [f"{row['seconds']:.2f}", "" if name == "ours" else f"{row['ours_takes']:.2f}"]
    learned = [f"{100 * row[what]:.1f} %" for what in ("accuracy", "robust_accuracy")] if judged else []
    return [name, *seconds, *passes, memory, *learned]
