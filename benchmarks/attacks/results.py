"""The file of results: runs by name, comparisons by case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.attacks.targets import Target


def take_in(more: dict[str, Any], results: dict[str, Any]) -> None:
    """Add runs to the results; of a run of the same name, cases of the same name are replaced."""
    for name, run in more.items():
        before = results.get(name, {"comparisons": {}})
        results[name] = {"about": run["about"], "comparisons": before["comparisons"] | run["comparisons"]}


def tell(results: dict[str, Any], targets: Callable[[str, dict[str, Any]], list[Target]]) -> None:
    """Print every target of every comparison."""
    for name, run in results.items():
        for target in (target for key, found in run["comparisons"].items() for target in targets(key, found)):
            verdict = "held  " if target.held else "MISSED"
            print(f"{name}: {verdict} {target.case}: {target.sentence}: {target.figure:.3f}")
