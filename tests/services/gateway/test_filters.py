"""The filter of ListJobs."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.gateway.filters import KINDS, parse
from services.jobs.states import State

NEW_YEAR_MS = 1_767_225_600_000


def test_an_empty_filter_is_every_job_but_intakes():
    found = parse("  ")
    assert found.states == set(State)
    assert found.kinds == {"attack", "training", "evaluation", "poisoning"}
    assert (found.earliest_ms, found.latest_ms) == (0, None)


def test_terms_are_joined():
    found = parse('state != QUEUED AND state!=RUNNING AND kind = attack AND create_time >= "2026-01-01T00:00:00Z"')
    assert found.states == set(State) - {State.QUEUED, State.RUNNING}
    assert found.kinds == {"attack"}
    assert found.earliest_ms == NEW_YEAR_MS


@pytest.mark.parametrize(
    ("operator", "earliest", "latest"),
    [
        (">", NEW_YEAR_MS + 1, None),
        (">=", NEW_YEAR_MS, None),
        ("<", 0, NEW_YEAR_MS - 1),
        ("<=", 0, NEW_YEAR_MS),
    ],
)
def test_times_are_exact_to_the_millisecond(operator, earliest, latest):
    found = parse(f'create_time {operator} "2026-01-01T01:00:00.000+01:00"')
    assert (found.earliest_ms, found.latest_ms) == (earliest, latest)


def test_the_narrowest_bounds_count():
    early, late = '"2026-01-01T00:00:00Z"', '"2026-02-01T00:00:00Z"'
    found = parse(f"create_time > {early} AND create_time > {late} AND create_time < {late} AND create_time < {early}")
    assert found.earliest_ms > NEW_YEAR_MS + 1
    assert found.latest_ms == NEW_YEAR_MS - 1


def test_contradicting_terms_leave_nothing():
    assert parse("state = QUEUED AND state = RUNNING").states == set()


def test_intakes_are_listed_when_asked_for():
    assert parse("kind = intake").kinds == {"intake"}
    assert parse("kind != attack").kinds == set(KINDS) - {"attack"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("state = WAITING", "WAITING"),
        ("state > QUEUED", "takes = and !="),
        ("kind = atack", "atack"),
        ("stat = QUEUED", "did you mean 'state'"),
        ("create_time = 5", "no time"),
        ('create_time > "2026-01-01T00:00:00"', "with its zone"),
        ('create_time = "2026-01-01T00:00:00Z"', "takes <"),
        ("create_time > 2026-01-01T00:00:00Z", "double quotes"),
        ("state = QUEUED OR state = RUNNING", "expected AND"),
        ("state = QUEUED AND", "expected `field operator value`"),
        ("AND", "expected `field operator value`"),
        ("state = QUEUED; DROP", "expected AND"),
        ("x" * 2000, "at most 1000"),
    ],
)
def test_nonsense_is_refused_with_its_place(text, word):
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert [violation.field for violation in caught.value.violations] == ["filter"]
    assert word in caught.value.message


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text):
    with contextlib.suppress(InvalidArgument):
        assert parse(text).kinds <= set(KINDS)
