"""Grafana's dashboard, deploy/observability/dashboard.json: `python -m tools.dashboard [--check]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tools.dashboard.panels import ROWS, Panel

PAGE = Path(__file__).resolve().parents[2] / "deploy" / "observability" / "dashboard.json"
COLUMNS, HEIGHT = 24, 8


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    x, y = 0, 0
    for title, row in ROWS.items():
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
             "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}
        )  # fmt: skip
        x, y = 0, y + 1
        for panel in row:
            height = 4 if panel.kind == "stat" else HEIGHT
            panels.append(_panel(panel, len(panels) + 1, {"x": x, "y": y, "w": panel.width, "h": height}))
            x += panel.width
            if x == COLUMNS:
                x, y = 0, y + height
        # A row that is not full is closed by the next one.
        y += HEIGHT if x else 0
    return {
        "uid": "sparring",
        "title": "Sparring",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "tags": ["sparring"],
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    custom = {"stacking": {"mode": "normal" if panel.stacked else "none"}, "fillOpacity": 20 if panel.stacked else 5}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0} | ({"custom": custom} if panel.kind == "timeseries" else {}),
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": source, "expr": expr, "legendFormat": legend}
            for i, (expr, legend) in enumerate(panel.queries)
        ],
    }


def main() -> int:
    """Write the file; with --check, say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 if the file is out of date")
    asked = parser.parse_args()
    text = json.dumps(dashboard(), indent=1) + "\n"
    if asked.check:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
