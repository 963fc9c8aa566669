"""The filter of ListJobs.

    filter = [ term { "AND" term } ]
    term   = "state" ("=" | "!=") STATE | "kind" ("=" | "!=") KIND | "create_time" ("<" | "<=" | ">" | ">=") TIME
    STATE  = QUEUED | RUNNING | SUCCEEDED | FAILED | CANCELLING | CANCELLED | QUARANTINED
    KIND   = attack | training | evaluation | poisoning | intake
    TIME   = RFC 3339 in double quotes, e.g. "2026-01-01T00:00:00Z"

A filter without a term on `kind` leaves intakes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from services.errors import InvalidArgument, Violation
from services.gateway.names import did_you_mean, shown
from services.jobs.record import KINDS
from services.jobs.states import State

T = TypeVar("T")
MAX_LENGTH = 1000
_TERM = re.compile(r'\s*(\w+)\s*(!=|<=|>=|=|<|>)\s*("[^"]*"|[\w.:+-]+)\s*')
_AND = re.compile(r"AND\b")


@dataclass
class JobFilter:
    """What a job must be to be listed; both ends of the time are included, None leaves the end open."""

    states: set[State] = field(default_factory=lambda: set(State))
    kinds: set[str] = field(default_factory=lambda: set(KINDS))
    earliest_ms: int = 0
    latest_ms: int | None = None


def parse(text: str) -> JobFilter:
    """Parse a filter; refuse it with the place where it stops making sense."""
    if len(text) > MAX_LENGTH:
        raise _refused(f"must have at most {MAX_LENGTH} characters, not {len(text)}")
    result = JobFilter()
    names = set()
    position = 0
    while text.strip():
        match = _TERM.match(text, position)
        if match is None:
            raise _refused(f"expected `field operator value` at {shown(text[position:], 40)}")
        _apply(result, *match.groups())
        names.add(match.group(1))
        position = match.end()
        if position == len(text):
            break
        conjunction = _AND.match(text, position)
        if conjunction is None:
            raise _refused(f"expected AND at {shown(text[position:], 40)}")
        position = conjunction.end()
    if "kind" not in names:
        result.kinds.discard("intake")
    return result


def _apply(result: JobFilter, name: str, operator: str, value: str) -> None:
    """Narrow the filter down by one term."""
    if name == "state":
        result.states &= _choose({state.name: state for state in State}, operator, name, value)
    elif name == "kind":
        result.kinds &= _choose({kind: kind for kind in KINDS}, operator, name, value)
    elif name == "create_time":
        _bound(result, operator, _milliseconds(value))
    else:
        raise _refused(f"there is no field {shown(name)}{did_you_mean(name, ('state', 'kind', 'create_time'))}")


def _choose(known: Mapping[str, T], operator: str, name: str, value: str) -> set[T]:
    """Return what `= value` or `!= value` leaves of everything that is known."""
    if value not in known:
        raise _refused(f"{shown(value)} is no {name}; choose one of {', '.join(known)}")
    if operator not in ("=", "!="):
        raise _refused(f"{name} takes = and !=, not {operator}")
    return {known[value]} if operator == "=" else set(known.values()) - {known[value]}


def _bound(result: JobFilter, operator: str, time_ms: int) -> None:
    """Narrow the time down; times are whole milliseconds, so `> t` is `>= t + 1`."""
    if operator in (">", ">="):
        result.earliest_ms = max(result.earliest_ms, time_ms + (operator == ">"))
    elif operator in ("<", "<="):
        end = time_ms - (operator == "<")
        result.latest_ms = end if result.latest_ms is None else min(result.latest_ms, end)
    else:
        raise _refused(f"create_time takes <, <=, > and >=, not {operator}")


def _milliseconds(value: str) -> int:
    """Parse a quoted RFC 3339 time into milliseconds since 1970."""
    text = value.strip('"')
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None or not value.startswith('"'):
        raise _refused(f'{shown(text)} is no time like "2026-01-01T00:00:00Z", in double quotes and with its zone')
    return round(time.timestamp() * 1000)


def _refused(description: str) -> InvalidArgument:
    return InvalidArgument([Violation("filter", description)], reason="BAD_FILTER")
