"""The audit log of each tenant: newest first, in pages, and no longer than it may be."""

import pytest

from services.jobs import registry_calls


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
def test_entries_come_newest_first_in_pages(store, limit):
    for number in range(7):
        store.audit("t", f"entry {number}\xff".encode("latin-1"))
    store.audit("other", b"of another tenant")
    found, cursor = [], 0
    while True:
        page = store.audit_entries("t", before=cursor, limit=limit)
        found += page
        cursor = page.cursor
        if cursor == 0:
            break
        assert len(page) == limit
        store.audit("t", b"too new for this list")
    assert found == [f"entry {number}\xff".encode("latin-1") for number in range(6, -1, -1)]


def test_a_tenant_that_did_nothing_has_no_entries(store):
    page = store.audit_entries("t")
    assert (list(page), page.cursor) == ([], 0)


def test_an_entry_whose_answer_was_lost_is_kept_once(redis, job_store):
    call = registry_calls.audit("t", "operation", b"entry")
    for _ in range(2):
        redis.execute_command(*call.command)
    assert job_store.audit_entries("t") == [b"entry"]


def test_about_ten_thousand_entries_are_kept(redis, job_store):
    for first in range(0, 10_500, 500):
        with redis.pipeline(transaction=False) as pipe:
            for number in range(first, first + 500):
                pipe.execute_command(*registry_calls.audit("t", f"o{number}", str(number).encode()).command)
            pipe.execute()
    assert 10_000 <= redis.xlen("{sparring}:audit:t") <= 10_200
    assert job_store.audit_entries("t", limit=2) == [b"10499", b"10498"]
