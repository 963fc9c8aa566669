"""Lists of jobs and of registered records: newest first, in pages, filtered."""

import pytest

from services.artifacts.store import ArtifactStore
from services.errors import AlreadyExists, FailedPrecondition, NotFound
from services.jobs import calls
from services.jobs.record import Registration
from services.jobs.states import State


def pages(ask, limit):
    """Every page, by following the cursors."""
    cursor, found = 0, []
    while True:
        page = ask(cursor, limit)
        found.append(list(page))
        cursor = page.cursor
        if cursor == 0:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 100])
def test_pages_cover_everything_once_newest_first(store, jobs, limit):
    made = [jobs.submit() for _ in range(6)]
    found = pages(lambda cursor, n: store.list("default", before=cursor, limit=n), limit)
    assert [record.id for page in found for record in page] == made[::-1]
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1] != []


def test_a_list_holds_still_while_jobs_come_and_go(store, jobs):
    made = [jobs.submit() for _ in range(6)]
    first = store.list("default", limit=2)
    jobs.submit()
    store.cancel("default", made[3])
    store.delete("default", made[3])
    second = store.list("default", before=first.cursor, limit=2)
    assert [record.id for record in [*first, *second]] == [made[5], made[4], made[2], made[1]]


def test_filters_combine(store, jobs):
    jobs.submit(kind="attack")
    cancelled = jobs.submit(kind="attack")
    jobs.submit(kind="training")
    store.cancel("default", cancelled)

    def found(**filters):
        return [record.id for record in store.list("default", **filters)]

    assert found(kinds={"training"}) == ["job-3"]
    assert found(states={State.CANCELLED}) == ["job-2"]
    assert found(states=set(State) - {State.CANCELLED}, kinds={"attack", "intake"}) == ["job-1"]
    assert found(states=frozenset()) == []


def test_a_time_range_includes_its_ends(store, jobs, clock):
    times = []
    for _ in range(3):
        times.append(store.get("default", jobs.submit()).created_ms)
        clock.advance(1_000)
    assert [r.id for r in store.list("default", earliest_ms=times[1])] == ["job-3", "job-2"]
    assert [r.id for r in store.list("default", latest_ms=times[1])] == ["job-2", "job-1"]
    assert [r.id for r in store.list("default", earliest_ms=times[1], latest_ms=times[1])] == ["job-2"]


def test_a_filter_that_matches_little_gives_short_pages_with_a_cursor(store, jobs, monkeypatch):
    monkeypatch.setattr(calls, "LIST_SCAN", 2)
    wanted = jobs.submit(kind="training")
    for _ in range(4):
        jobs.submit()
    found = pages(lambda cursor, n: store.list("default", before=cursor, limit=n, kinds={"training"}), 3)
    assert [[record.id for record in page] for page in found] == [[], [], [wanted]]


def test_records_are_listed_newest_first_in_pages(store):
    for number in range(5):
        store.register("default", Registration(kind="model", id=f"m{number}", record=f"{number}".encode()))
    store.register("default", Registration(kind="dataset", id="m0", record=b"other kind"))
    store.register("other", Registration(kind="model", id="m0", record=b"other tenant"))
    found = pages(lambda cursor, n: store.registered("default", "model", cursor, n), 2)
    assert found == [[b"4", b"3"], [b"2", b"1"], [b"0"]]


def test_a_name_is_taken_once(store):
    model = Registration(kind="model", id="m", record=b"one")
    assert [store.register("default", model) for _ in range(2)] == ["m", "m"]
    with pytest.raises(AlreadyExists):
        store.register("default", Registration(kind="model", id="m", record=b"two"))
    with pytest.raises(AlreadyExists):
        store.register("default", Registration(kind="model", id="m", record=b"two"), owner="")


def test_its_owner_may_rewrite_a_record_and_nobody_else(store):
    store.register("default", Registration(kind="model", id="m", record=b"one"), owner="job-1")
    assert store.register("default", Registration(kind="model", id="m", record=b"two"), owner="job-1") == "m"
    with pytest.raises(AlreadyExists):
        store.register("default", Registration(kind="model", id="m", record=b"three"), owner="job-2")
    assert store.lookup("default", "model", "m") == b"two"


def test_what_is_unregistered_is_gone(store):
    store.register("default", Registration(kind="dataset", id="d", record=b"d"))
    store.unregister("default", "dataset", "d")
    for asked in (store.lookup, store.unregister):
        with pytest.raises(NotFound) as refused:
            asked("default", "dataset", "d")
        assert refused.value.name == "datasets/d"
    assert store.registered("default", "dataset") == []


def test_a_registration_pins_its_artifacts(store, artifact_store: ArtifactStore):
    one, two = artifact_store.put("default", b"one"), artifact_store.put("default", b"two")
    absent = "a" * 64

    def pinned():
        return [artifact_store.stat("default", sha).expires_ms is None for sha in (one, two)]

    def register(name, *pins):
        store.register("default", Registration(kind="model", id=name, record=str(pins).encode(), pins=pins), owner="j")

    register("m", one, absent)
    register("n", one)
    assert pinned() == [True, False]
    with pytest.raises(FailedPrecondition):
        artifact_store.delete("default", one)
    store.unregister("default", "model", "m")
    assert pinned() == [True, False]
    register("n", two)
    assert pinned() == [False, True]
    register("n", two)
    store.unregister("default", "model", "n")
    assert pinned() == [False, False]
    artifact_store.delete("default", one)


def test_mounts_are_listed_by_name(store):
    for name in ("b", "a", "b"):
        store.announce_mount(f"record of {name}".encode(), name)
    assert store.mounts() == [b"record of a", b"record of b"]
