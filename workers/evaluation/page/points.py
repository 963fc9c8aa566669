"""The checklist as the page shows it: its points, each with its items and the gravest of their states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workers.evaluation import words
from workers.evaluation.checklist import POINTS, ChecklistItem

STATES: Final = {"fail": "FAIL", "warn": "WARN", "not_done": "NOT DONE", "pass": "PASS", "info": "INFO"}
"""Words for the states of items, the gravest first."""


@dataclass(frozen=True)
class Point:
    """One of the fourteen points; `state` is the gravest of its items', `items` are (item, its model in short)."""

    number: int
    title: str
    state: str
    items: tuple[tuple[ChecklistItem, str], ...]

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many items are in each state, the gravest first."""
        return totals([item for item, _ in self.items])


def points(checklist: Sequence[ChecklistItem]) -> list[Point]:
    """Return the points that have items, in their order."""
    found = []
    for number, title in POINTS.items():
        items = tuple((item, words.short(item.model)) for item in checklist if item.point == number)
        if items:
            states = {item.status for item, _ in items}
            found.append(Point(number, title, next(state for state in STATES if state in states), items))
    return found


def totals(checklist: Sequence[ChecklistItem]) -> tuple[tuple[str, int], ...]:
    """Return how many items are in each state, the gravest first."""
    states: list[str] = [item.status for item in checklist]
    return tuple((state, states.count(state)) for state in STATES if state in states)
