"""The table of all metrics in docs/metrics.md: `python -m services.telemetry.metrics_page [--check]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services.telemetry.metrics import EXPORTER, GATEWAY, WORKER, Metric

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- begin: the table of metrics -->\n", "<!-- end: the table of metrics -->\n"


def table() -> str:
    """All metrics as Markdown, one table for each kind of process."""
    parts = [("Gateway", GATEWAY), ("Worker", WORKER), ("Store exporter", EXPORTER)]
    return "\n".join(f"### {title}\n\n{_rows(list(metrics.values()))}" for title, metrics in parts)


def updated(page: str) -> str:
    """The page with the table as it is now. ValueError: the two marks are not in it."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the page lacks the lines {BEGIN.strip()!r} and {END.strip()!r}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write the table into the page; with --check, say whether it is in it already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 if the page is out of date")
    asked = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    if asked.check:
        return int(page != updated(page))
    PAGE.write_text(updated(page), encoding="utf-8")
    return 0


def _rows(metrics: list[Metric]) -> str:
    head = "| metric | type | labels | what |\n|---|---|---|---|\n"
    return head + "".join(
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |\n"
        for metric in metrics
    )


if __name__ == "__main__":
    sys.exit(main())
