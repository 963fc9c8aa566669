"""Options of the soak, and its table.

--soak-minutes N    how long; 20 unless told otherwise, 2 is enough to see that it works
--soak-seed N       what is done and hurt when; random, and printed, where it is not given
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from .slopes import Slope

RESULTS = Path(__file__).resolve().parents[2] / "out" / "soak" / "results.json"
MIB = 1 << 20


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("soak")
    group.addoption("--soak-minutes", type=float, default=20.0, help="how long the soak lasts")
    group.addoption("--soak-seed", type=int, default=None, help="seed of load and injections")


@pytest.fixture(scope="session")
def soak_minutes(pytestconfig: pytest.Config) -> float:
    return float(pytestconfig.getoption("--soak-minutes", default=20.0))


@pytest.fixture(scope="session")
def soak_seed(pytestconfig: pytest.Config) -> int:
    given = pytestconfig.getoption("--soak-seed", default=None)
    return secrets.randbelow(1 << 31) if given is None else int(given)


@pytest.fixture
def tell(request: pytest.FixtureRequest):
    """Keeps what the soak found, for the table and for machines."""

    def add(result: dict[str, Any], slopes: list[Slope]) -> None:
        rows = [asdict(found) for found in slopes]
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(result | {"slopes": rows}, indent=1) + "\n", encoding="utf-8")
        request.node.user_properties.append(("soak", (result, rows)))

    return add


def pytest_terminal_summary(terminalreporter) -> None:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []) if getattr(report, "when", "") == "call" else []:
                if name == "soak":
                    _print(terminalreporter, *value)


def _print(terminalreporter, result: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    terminalreporter.section("soak")
    terminalreporter.write_line(", ".join(f"{name} {value}" for name, value in result.items()))
    terminalreporter.write_line(f"{'series':42} {'seconds':>8} {'level':>12} {'slope/hour':>12} {'allowed':>12}")
    for row in rows:
        unit = MIB if row["name"].startswith(("rss", "used")) else 1
        figures = " ".join(f"{row[part] / unit:12.1f}" for part in ("level", "per_hour", "allowed_per_hour"))
        line = f"{row['name'] + (' (MiB)' if unit > 1 else ''):42} {row['seconds']:8.0f} {figures}"
        terminalreporter.write_line(line + ("  GROWS" if row["grows"] else ""))
    terminalreporter.write_line(f"written to {RESULTS}")
