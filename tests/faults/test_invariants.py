"""The checker itself: each invariant can fail, and a good run passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.jobs.states import State

from .facts import Facts
from .history import Event, History
from .invariants import check, check_facts, check_history


def numbered(*events: Event) -> tuple[Event, ...]:
    return tuple(replace(event, number=number) for number, event in enumerate(events, start=1))


def state(value: State) -> Event:
    return Event(number=0, type="state_change", state=value)


def unit(number: int, change: str, worker: str = "w-1-ab", attempt: int = 1) -> Event:
    return Event(number=0, type="unit_change", unit=number, change=change, worker=worker, attempt=attempt)


PROGRESS = Event(number=0)
QUEUED, RUNNING, SUCCEEDED = state(State.QUEUED), state(State.RUNNING), state(State.SUCCEEDED)
GOOD = (
    *(QUEUED, RUNNING, unit(0, "claimed"), unit(1, "claimed", "w-2-cd"), PROGRESS, unit(0, "committed")),
    *(unit(1, "lost", "w-2-cd"), unit(1, "claimed", attempt=2), unit(1, "released", attempt=2)),
    *(unit(1, "claimed", attempt=2), unit(1, "committed", attempt=2)),
    *(unit(2, "claimed"), unit(2, "committed"), SUCCEEDED),
)


def history(*events: Event, **changes: object) -> History:
    given = History(job="j", state=State.SUCCEEDED, units=2, events=numbered(*events), fingerprint="f", expected="f")
    return replace(given, **changes)


def invariants(found: object) -> set[str]:
    return {violation.invariant for violation in found}


def test_a_good_run_passes() -> None:
    facts = Facts(
        left={"leases": []},
        jobs={"j": ("default", State.SUCCEEDED)},
        index={"default": ["j"]},
        ended=["j"],
        counters={"bytes of default": (3.0, 3.0)},
    )
    good = history(*GOOD, watched=tuple(range(1, len(GOOD) + 1)), tokens={0: 1, 1: 4, 2: 5})
    assert check([good], facts) == []


def test_an_accepted_job_that_never_ends_is_found() -> None:
    assert "I1" in invariants(check_history(history(*GOOD[:-3], state=State.RUNNING)))


def test_an_end_that_the_run_can_not_explain_is_found() -> None:
    failed = history(QUEUED, RUNNING, unit(0, "claimed"), state(State.FAILED), state=State.FAILED, error="boom")
    assert invariants(check_history(failed)) == {"I1"}
    assert "boom" in str(*check_history(failed))


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((*GOOD, SUCCEEDED), id="two ends"),
        pytest.param((*GOOD, PROGRESS), id="an event after the end"),
        pytest.param((*GOOD[:-1], QUEUED, RUNNING, SUCCEEDED, QUEUED), id="an end that is taken back"),
        pytest.param((QUEUED, SUCCEEDED), id="an end out of nothing"),
        pytest.param(GOOD[1:], id="a beginning that is missing"),
        pytest.param((*GOOD[:3], unit(0, "claimed", "w-9-ff"), *GOOD[3:]), id="two holders"),
        pytest.param((*GOOD[:6], unit(0, "committed"), *GOOD[6:]), id="two commits"),
        pytest.param((*GOOD[:6], unit(0, "claimed", attempt=2), *GOOD[6:]), id="a claim after the commit"),
        pytest.param((*GOOD[:7], unit(1, "committed", "w-2-cd"), *GOOD[8:]), id="a commit of a stale holder"),
        pytest.param((*GOOD[:7], unit(1, "claimed", attempt=1), *GOOD[8:]), id="an attempt that goes back"),
        pytest.param((*GOOD[:9], unit(1, "claimed", attempt=3), *GOOD[10:]), id="a release that is charged"),
        pytest.param((*GOOD[:6], unit(2, "claimed"), *GOOD[6:]), id="a closing unit that comes too early"),
        pytest.param((*GOOD[:-3], SUCCEEDED), id="an end without the closing unit"),
    ],
)
def test_a_history_that_can_not_be_is_found(events: tuple[Event, ...]) -> None:
    assert "I2" in invariants(check_history(history(*events)))


def test_gaps_and_repetitions_are_found() -> None:
    whole = numbered(*GOOD)
    assert "I2" in invariants(check_history(history(*GOOD, events=whole[:4] + whole[5:])))
    assert "I2" in invariants(check_history(history(*GOOD, events=whole[:5] + whole[4:])))


def test_a_watcher_that_misses_an_event_or_sees_one_twice_is_found() -> None:
    for seen in ((1, 2, 4), (1, 2, 2), (2, 3)):
        assert "I2" in invariants(check_history(history(*GOOD, watched=seen)))


def test_a_stale_token_among_the_results_is_found() -> None:
    assert "I2" in invariants(check_history(history(*GOOD, tokens={0: 1, 1: 9, 2: 5})))


def test_another_result_is_found() -> None:
    assert invariants(check_history(history(*GOOD, fingerprint="other"))) == {"I3"}


def test_a_fourth_attempt_is_found() -> None:
    often = [unit(0, what, attempt=number) for number in (1, 2, 3, 4) for what in ("claimed", "lost")]
    end = state(State.QUARANTINED)
    allowed = frozenset({State.QUARANTINED})
    assert "I4" in invariants(
        check_history(history(QUEUED, RUNNING, *often, end, state=State.QUARANTINED, allowed=allowed))
    )
    right = history(QUEUED, RUNNING, *often[:6], end, state=State.QUARANTINED, allowed=allowed)
    assert list(check_history(right)) == []
    early = history(QUEUED, RUNNING, *often[:4], end, state=State.QUARANTINED, allowed=allowed)
    assert invariants(check_history(early)) == {"I4"}


def test_a_retry_begins_anew_and_only_where_somebody_asked() -> None:
    lost = [unit(0, what, attempt=number) for number in (1, 2, 3) for what in ("claimed", "lost")]
    again = (unit(0, "claimed"), unit(0, "committed"), unit(1, "claimed"), unit(1, "committed"), *GOOD[-3:])
    events = (QUEUED, RUNNING, *lost, state(State.QUARANTINED), QUEUED, RUNNING, *again)
    assert list(check_history(history(*events, retries=1))) == []
    assert invariants(check_history(history(*events))) == {"I2"}


@pytest.mark.parametrize("what", ["leases", "staged uploads", "running units", "processes"])
def test_what_is_left_over_is_found(what: str) -> None:
    assert invariants(check_facts(Facts(left={what: ["something"]}))) == {"I5"}


def test_an_index_that_is_not_what_is_stored_is_found() -> None:
    jobs = {"j": ("default", State.SUCCEEDED), "k": ("other", State.RUNNING)}
    good = Facts(jobs=jobs, index={"default": ["j"], "other": ["k"]}, ended=["j"])
    assert check_facts(good) == []
    for wrong in (
        replace(good, index={"default": ["j", "k"], "other": []}),
        replace(good, index={"default": ["j"]}),
        replace(good, index={"default": ["j", "gone"], "other": ["k"]}),
        replace(good, ended=[]),
        replace(good, counters={"running of other": (2.0, 1.0)}),
    ):
        assert invariants(check_facts(wrong)) == {"I6"}
