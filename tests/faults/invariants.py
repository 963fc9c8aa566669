"""What must hold after every run, whatever was injected: I1 to I6, as checks of plain values.

    I1  every accepted job has reached an end
    I2  a job ends once; events have no gaps; a unit is held by one worker at a time, and committed by the holder, once
    I3  the result is that of the run without faults
    I4  no unit is tried more than three times, and only one that was lost three times quarantines its job
    I5  nothing is left over: leases, open units, staged uploads, processes, file descriptors
    I6  what is counted is what there is: indices, sets of ended jobs, usage of tenants

Checks say what they found rather than raise, so that a run that breaks one invariant still tests the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from services.jobs.states import TERMINAL, TRANSITIONS, State

from .facts import Facts
from .history import Event, History

MAX_ATTEMPTS = 3
RETRYABLE = TERMINAL - {State.SUCCEEDED}


@dataclass(frozen=True)
class Violation:
    """One thing that does not hold: of which invariant, where, and what."""

    invariant: str
    job: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.job}: {self.what}"


def check(histories: Iterable[History], facts: Facts) -> list[Violation]:
    """Everything that does not hold; empty after a good run."""
    return [*(found for history in histories for found in check_history(history)), *check_facts(facts)]


def check_history(history: History) -> Iterator[Violation]:
    """I1 to I4 of one job."""
    for invariant, texts in (
        ("I1", _ends(history)),
        ("I2", _numbers(history)),
        ("I2", _states(history)),
        ("I2", _units(history)),
        ("I3", _result(history)),
        ("I4", _attempts(history)),
    ):
        yield from (Violation(invariant, history.job, text) for text in texts)


def _ends(history: History) -> Iterator[str]:
    if history.state not in TERMINAL:
        yield f"accepted and still {history.state.name}"
    elif history.state not in history.allowed:
        yield f"ended as {history.state.name}: {history.error}"


def _numbers(history: History) -> Iterator[str]:
    numbers = [event.number for event in history.events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"events are numbered {_gaps(numbers)}"
    if history.watched and list(history.watched) != numbers[: len(history.watched)]:
        yield f"a watcher saw {_gaps(list(history.watched))} of the events 1 to {len(numbers)}"


def _gaps(numbers: list[int]) -> str:
    odd = [
        f"{before} then {after}" for before, after in zip([0, *numbers], numbers, strict=False) if after != before + 1
    ]
    return ", ".join(odd[:5]) if odd else f"1 to {len(numbers)}"


def _states(history: History) -> Iterator[str]:
    """Every change is one that the contract knows; only RetryJob leads on from an end."""
    state, retries = None, history.retries
    for event in history.events:
        ended = state in TERMINAL
        if event.state is None:
            if ended:
                yield f"event {event.number} ({event.type}) comes after the end"
            continue
        if state is None:
            if event.state is not State.QUEUED:
                yield f"begins as {event.state.name}"
        elif ended and not (state in RETRYABLE and event.state is State.QUEUED and retries > 0):
            yield f"event {event.number}: {event.state.name} after the end as {state.name}"
        elif event.state not in TRANSITIONS[state]:
            yield f"event {event.number}: {event.state.name} after {state.name}"
        retries -= ended
        state = event.state
    if state is not history.state:
        yield f"is {history.state.name}, its last event says {state.name if state else 'nothing'}"


@dataclass
class _Unit:
    """One unit as the events before have left it."""

    holder: str | None = None
    attempt: int = 0
    committed: bool = False


def _units(history: History) -> Iterator[str]:
    """Claims, commits, releases and losses of each unit, in their order."""
    units: dict[int, _Unit] = {}
    ended = False
    for event in history.events:
        if event.state is not None:
            _settle(units, ended=event.state in TERMINAL, retried=ended)
            ended = event.state in TERMINAL
        if event.unit is None:
            continue
        unit = units.setdefault(event.unit, _Unit())
        wrong = _claim(unit, event) if event.change == "claimed" else _leave(unit, event)
        if event.change == "claimed" and event.unit == history.units:
            missing = [number for number in range(history.units) if not units.get(number, _Unit()).committed]
            wrong = f"the closing unit is taken while {missing} are not committed" if missing else wrong
        if wrong:
            yield f"event {event.number}, unit {event.unit}: {wrong}"
    if history.state is State.SUCCEEDED:
        missing = [number for number in range(history.units + 1) if not units.get(number, _Unit()).committed]
        if missing:
            yield f"succeeded without {missing}"
    tokens = history.tokens
    if history.units in tokens and any(token > tokens[history.units] for token in tokens.values()):
        yield f"a token of a unit is greater than the closing one's: {tokens}"


def _settle(units: dict[int, _Unit], *, ended: bool, retried: bool) -> None:
    """An end drops whatever is held, and a retry counts attempts anew."""
    for unit in units.values():
        if ended:
            unit.holder = None
        if retried and not unit.committed:
            unit.attempt = 0


def _claim(unit: _Unit, event: Event) -> str | None:
    wrong = None
    if unit.committed:
        wrong = "taken after its commit"
    elif unit.holder is not None:
        wrong = f"taken by {event.worker} while {unit.holder} holds it"
    elif event.attempt != unit.attempt + 1:
        wrong = f"attempt {event.attempt} after attempt {unit.attempt}"
    unit.holder, unit.attempt = event.worker, event.attempt
    return wrong


def _leave(unit: _Unit, event: Event) -> str | None:
    wrong = None
    if unit.committed:
        wrong = f"{event.change} by {event.worker} after its commit"
    elif unit.holder != event.worker or unit.attempt != event.attempt:
        wrong = f"{event.change} by {event.worker} (attempt {event.attempt}), held by {unit.holder} ({unit.attempt})"
    unit.holder = None
    unit.committed = unit.committed or event.change == "committed"
    if event.change == "released":
        unit.attempt -= 1
    return wrong


def _result(history: History) -> Iterator[str]:
    if history.state is State.SUCCEEDED and history.fingerprint != history.expected:
        yield f"the result is {history.fingerprint}, without faults it is {history.expected}"


def _attempts(history: History) -> Iterator[str]:
    for event in history.events:
        if event.attempt > MAX_ATTEMPTS:
            yield f"unit {event.unit} is tried {event.attempt} times"
    if history.state is State.QUARANTINED:
        lost = Counter(event.unit for event in history.events if event.change == "lost")
        if not lost or max(lost.values()) < MAX_ATTEMPTS:
            yield f"quarantined after losing {dict(lost)}"


@dataclass
class _Found:
    """What was found of one invariant."""

    violations: list[Violation] = field(default_factory=list)

    def differ(self, invariant: str, what: str, held: object, counted: object) -> None:
        if held != counted:
            self.violations.append(Violation(invariant, "the store", f"{what}: {held}, but {counted} is right"))


def check_facts(facts: Facts) -> list[Violation]:
    """I5 and I6 of the store and the processes, once every job has ended."""
    found = _Found()
    for what, left in facts.left.items():
        found.differ("I5", what, sorted(left), [])
    for tenant in sorted({*facts.index, *(tenant for tenant, _ in facts.jobs.values())}):
        stored = sorted(job for job, (owner, _) in facts.jobs.items() if owner == tenant)
        found.differ("I6", f"jobs in the index of {tenant}", sorted(facts.index.get(tenant, ())), stored)
    ended = sorted(job for job, (_, state) in facts.jobs.items() if state in TERMINAL)
    found.differ("I6", "ended jobs", sorted(facts.ended), ended)
    for what, (held, counted) in facts.counters.items():
        found.differ("I6", what, held, counted)
    return found.violations
