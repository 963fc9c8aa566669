"""Page tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.gateway.paging import Pager, page_size

PAGER = Pager(b"key")


@given(st.text(min_size=1), st.lists(st.text(), max_size=3))
def test_a_token_leads_back_to_its_cursor(cursor, scope):
    assert PAGER.cursor(PAGER.token(cursor, *scope), *scope) == cursor


def test_the_end_has_no_token_and_no_token_is_the_start():
    assert PAGER.token("", "jobs") == ""
    assert PAGER.cursor("", "jobs") == ""


@pytest.mark.parametrize("other", [("models",), ("jobs", "x"), ("job", "s"), ()])
def test_a_token_of_another_list_is_refused(other):
    with pytest.raises(InvalidArgument, match="page_token"):
        PAGER.cursor(PAGER.token("5", "jobs"), *other)


def test_a_token_of_another_key_is_refused():
    with pytest.raises(InvalidArgument):
        Pager(b"other").cursor(PAGER.token("5", "jobs"), "jobs")


@given(st.text(min_size=1, max_size=80))
def test_a_forged_token_is_refused(token):
    with pytest.raises(InvalidArgument) as caught:
        PAGER.cursor(token, "jobs")
    assert caught.value.reason == "BAD_PAGE_TOKEN"


def test_changing_any_byte_breaks_the_token():
    token = PAGER.token("12345", "jobs")
    for index, letter in enumerate(token):
        forged = token[:index] + ("A" if letter != "A" else "B") + token[index + 1 :]
        try:
            # The last letter may hold bits that base64 does not use.
            assert PAGER.cursor(forged, "jobs") == "12345"
            assert index == len(token) - 1
        except InvalidArgument:
            pass


@pytest.mark.parametrize(("asked", "given_size"), [(0, 100), (1, 1), (1000, 1000), (5000, 1000)])
def test_page_sizes_are_kept_in_bounds(asked, given_size):
    assert page_size(asked) == given_size


def test_a_negative_page_size_is_refused():
    with pytest.raises(InvalidArgument, match="page_size"):
        page_size(-1)
