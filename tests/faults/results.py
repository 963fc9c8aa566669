"""One row for each fault and store: what was injected and what came of it; a table, and a file for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "out" / "faults"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table. `kills` are the SIGKILLs among the injections."""

    fault: str
    store: str
    runs: int
    injections: int
    kills: int = 0
    jobs: int = 0
    lost: int = 0
    double_commits: int = 0
    wrong_digests: int = 0
    recovery_p99_s: float | None = None
    seed: int = 0
    passed: bool = False


def p99(values: Sequence[float]) -> float | None:
    """The smallest value that 99 % of all do not exceed; None of nothing."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else None


def write(rows: Iterable[Row]) -> Path:
    """Keep the rows as JSON."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "results.json"
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return path


def table(rows: Sequence[Row]) -> list[str]:
    """The rows in columns, and the sums below."""
    columns = ("fault", "store", "runs", "injections", "kills", "jobs", "lost", "double_commits", "wrong_digests")
    lines = [[*columns, "recovery_p99_s", "passed"]]
    for row in rows:
        recovery = "-" if row.recovery_p99_s is None else f"{row.recovery_p99_s:.2f}"
        lines.append([*(str(getattr(row, name)) for name in columns), recovery, "yes" if row.passed else "NO"])
    sums = [str(sum(getattr(row, name) for row in rows)) for name in columns[2:]]
    lines.append(["all", "", *sums, "", ""])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
