"""The files of deploy/observability, read: rules and queries as they stand in them."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "observability"


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    return yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]


def measured(rule: dict[str, Any]) -> str:
    """What an alert compares with its threshold."""
    compared = re.fullmatch(r"(?s)(.+) [<>] [0-9.]+", rule["expr"].strip())
    assert compared is not None, rule["expr"]
    return compared[1]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    return json.loads((FOLDER / "dashboard.json").read_text())


def queries() -> list[tuple[str, str]]:
    """Every query of the dashboard, with its panel's title."""
    panels = dashboard()["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
