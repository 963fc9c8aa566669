"""Artifacts change their place: all of them, whole, once, whatever happens on the way."""

import dataclasses
import os

import pytest

from services import faultpoints
from services.artifacts import move
from services.artifacts.digest import CHUNK_BYTES
from services.artifacts.outside import open_store
from services.artifacts.store import ArtifactStore, AsyncArtifactStore
from services.errors import Unavailable

DATA = [os.urandom(size) for size in (10, CHUNK_BYTES, 2 * CHUNK_BYTES + 7)]


@pytest.fixture
def at(redis, store_settings, job_store):
    """A worker's store with its bytes at a place, and the settings that lead there."""

    def make(where):
        settings = dataclasses.replace(store_settings, artifacts=where)
        return ArtifactStore(redis, settings), settings

    return make


def objects(where):
    store = open_store(where)
    return [part for shelf in set(store.shelves()) for part in store.parts(*shelf)]


def put_all(store):
    return [(tenant, store.put(tenant, data), data) for tenant in ("t", "u") for data in DATA]


def assert_all_there(store, kept):
    for tenant, sha256, data in kept:
        assert store.get(tenant, sha256) == data


def test_artifacts_go_from_place_to_place_and_back(redis, at, place, job_store):
    places = [None, place("volume"), place("bucket"), place("second"), None]
    kept = put_all(at(None)[0])
    keys = sorted(redis.keys())
    used = job_store.usage("t").artifact_bytes
    for number in range(1, len(places)):
        before, (store, settings) = places[number - 1], at(places[number])
        moved = move.run(settings, before)
        assert moved == move.Moved(len(kept), ())
        assert_all_there(store, kept)
        if before is not None:
            assert objects(before) == []
        assert job_store.usage("t").artifact_bytes == used
        assert move.run(settings, before) == move.Moved(0, ())
    assert sorted(set(redis.keys()) - {b"{sparring}:outside"}) == keys


def test_an_interrupted_move_goes_on_and_both_places_are_read_meanwhile(redis, at, place):
    kept = put_all(at(None)[0])
    store, settings = at(place("volume"))
    faultpoints.configure({"SPARRING_FAULTS": "artifacts.part_written:fail:0.4:1"})
    try:
        with pytest.raises(OSError, match="a fault was asked for"):
            move.run(settings, None)
    finally:
        faultpoints.configure({})
    assert_all_there(store, kept)
    assert 0 < move.run(settings, None).artifacts <= len(kept)
    assert redis.keys("{sparring}:a:*:[0-9]") == []
    assert_all_there(store, kept)


def test_what_is_damaged_is_named_and_left(redis, at, place):
    kept = put_all(at(None)[0])
    tenant, sha256, _ = kept[0]
    redis.set(f"{{sparring}}:a:{tenant}:{sha256}:0", b"damage")
    store, settings = at(place("volume"))
    moved = move.run(settings, None)
    assert moved.artifacts == len(kept) - 1
    assert len(moved.left) == 1
    assert sha256 in moved.left[0]
    assert redis.get(f"{{sparring}}:a:{tenant}:{sha256}:0") == b"damage"
    assert_all_there(store, kept[1:])


async def test_a_reader_finds_what_was_moved_under_its_hands(async_redis, at, place):
    store, before = at(None)
    data = os.urandom(6 * CHUNK_BYTES)
    sha256 = store.put("t", data)
    settings = at(place("volume"))[1]
    gateway = AsyncArtifactStore(async_redis, settings)
    reading = gateway.read("t", sha256)
    pieces = [bytes((await anext(reading))[1])]
    move.run(settings, None)
    pieces += [bytes(piece) async for _, piece in reading]
    assert b"".join(pieces) == data
    await gateway.aclose()
    assert before.artifacts is None


def test_a_deleted_artifact_is_not_brought_back_by_a_move(redis, at, place, job_store):
    store, settings = at(place("volume"))
    sha256 = at(None)[0].put("t", DATA[0])
    target = move.opened(settings.artifacts, redis, move.Outside)
    move.take_into_use(target.store, redis, adopt=False)
    mover = move.Mover(redis, None, target)
    end = move.PartsWriter.end

    def deleted_meanwhile(writer):
        ended = end(writer)
        store.delete("t", sha256)
        return ended

    move.PartsWriter.end = deleted_meanwhile
    try:
        assert mover.move() == move.Moved(0, ())
    finally:
        move.PartsWriter.end = end
    assert job_store.usage("t").artifact_bytes == 0
    move.Sweeper(target, redis).sweep()
    assert objects(settings.artifacts) == []


def test_a_place_that_was_used_before_is_taken_only_if_that_is_said(redis, at, place):
    one, two = place("volume"), place("volume")
    kept = put_all(at(one)[0])
    move.run(at(two)[1], one)
    with pytest.raises(Unavailable, match="say --adopt"):
        move.run(at(one)[1], two)
    assert_all_there(at(two)[0], kept)
    move.run(at(one)[1], two, adopt=True)
    assert_all_there(at(one)[0], kept)
    with pytest.raises(Unavailable, match="it has no marker"):
        move.run(at(one)[1], place("volume"))


def test_the_program_says_what_it_did(  # noqa: PLR0917 - each is a fixture
    redis, store_settings, at, place, monkeypatch, capsys
):
    kept = put_all(at(None)[0])
    where = place("volume")
    monkeypatch.setenv("SPARRING_REDIS_URL", store_settings.redis_url)
    monkeypatch.setenv("SPARRING_ARTIFACTS", where.url)
    assert move.main([]) == 0
    assert capsys.readouterr().out == f"{len(kept)} artifacts were moved\n"
    assert_all_there(at(where)[0], kept)
    assert move.main(["--from", "nowhere"]) == 2
    assert move.main(["--from", place("volume").url]) == 1
    assert "it has no marker" in capsys.readouterr().err
