"""A worker's side of the artifacts: put, get, how long they are kept, and damage that is noticed."""

import hashlib
import itertools
import time

import pytest

from services.artifacts import store as store_module
from services.artifacts.digest import CHUNK_BYTES, artifact_name, parse_name
from services.artifacts.store import ArtifactStore
from services.connection import connect
from services.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from services.local.valkey import start
from services.settings import StoreSettings

ABSENT = "a" * 64
TENANT = "t"


def some_bytes(size, seed=0):
    return hashlib.shake_128(seed.to_bytes(4, "little")).digest(size)


@pytest.mark.parametrize("size", [1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 5])
def test_what_was_put_is_got_under_its_digest(artifact_store, size):
    data = some_bytes(size)
    sha256 = artifact_store.put(TENANT, data, "text/html")
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert artifact_store.get(TENANT, sha256) == data
    info = artifact_store.stat(TENANT, sha256)
    assert (info.sha256, info.size_bytes, info.media_type) == (sha256, size, "text/html")
    assert info.expires_ms - info.created_ms == 7 * 86_400_000


@pytest.mark.parametrize("pieces", [[1], [CHUNK_BYTES], [5, CHUNK_BYTES - 5, 0, 7], [3 * CHUNK_BYTES + 1, 2]])
def test_what_is_put_piece_by_piece_is_what_is_put_at_once(artifact_store, redis, pieces):
    data = some_bytes(sum(pieces))
    cuts = list(itertools.accumulate(pieces, initial=0))
    parts = [data[start:stop] for start, stop in itertools.pairwise(cuts)]
    sha256, size = artifact_store.put_parts(TENANT, iter(parts), "text/html")
    assert (sha256, size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert artifact_store.get(TENANT, sha256) == data
    keys = sorted(redis.keys())
    assert artifact_store.put(TENANT, data, "text/html") == sha256
    assert sorted(redis.keys()) == keys, "nothing staged is left, nothing kept twice"


def test_pieces_that_end_in_an_error_leave_no_artifact(artifact_store):
    def broken():
        yield some_bytes(CHUNK_BYTES + 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        artifact_store.put_parts(TENANT, broken())
    with pytest.raises(NotFound):
        artifact_store.stat(TENANT, hashlib.sha256(some_bytes(CHUNK_BYTES + 1)).hexdigest())
    with pytest.raises(InvalidArgument):
        artifact_store.put_parts(TENANT, iter([]))


def test_any_buffer_can_be_put(artifact_store):
    data = bytearray(some_bytes(2 * CHUNK_BYTES))
    assert artifact_store.get(TENANT, artifact_store.put(TENANT, memoryview(data))) == data


def test_the_same_bytes_are_kept_once_and_for_the_longer_time(artifact_store, redis):
    data = some_bytes(2 * CHUNK_BYTES)
    sha256 = artifact_store.put(TENANT, data, ttl_s=100)
    first = artifact_store.stat(TENANT, sha256)
    keys = set(redis.keys("*"))
    assert artifact_store.put(TENANT, data, ttl_s=1000) == sha256
    assert 899_000 < artifact_store.stat(TENANT, sha256).expires_ms - first.expires_ms < 910_000
    artifact_store.put(TENANT, data, ttl_s=1)
    assert artifact_store.stat(TENANT, sha256).expires_ms - first.expires_ms > 899_000
    assert set(redis.keys("*")) == keys
    assert int(redis.get("{sparring}:bytes:t")) == len(data)


def test_a_deleted_artifact_leaves_nothing(artifact_store, redis):
    sha256 = artifact_store.put(TENANT, some_bytes(3 * CHUNK_BYTES))
    artifact_store.delete(TENANT, sha256)
    assert [key for key in redis.keys("*") if sha256.encode() in key] == []
    assert int(redis.get("{sparring}:bytes:t")) == 0
    assert redis.zcard("{sparring}:lapse") == 0


def test_what_is_not_there_is_not_found(artifact_store):
    for asked in (
        artifact_store.get,
        artifact_store.stat,
        artifact_store.touch,
        artifact_store.delete,
        artifact_store.pin,
        artifact_store.unpin,
    ):
        with pytest.raises(NotFound) as refused:
            asked(TENANT, ABSENT)
        assert refused.value.name == f"artifacts/{ABSENT}"


def test_artifacts_lapse(artifact_store, job_store):
    short, long = artifact_store.put(TENANT, b"short", ttl_s=0.001), artifact_store.put(TENANT, b"long", ttl_s=100)
    deadline = time.monotonic() + 5
    while job_store.expire(10) == 0:
        assert time.monotonic() < deadline
    with pytest.raises(NotFound):
        artifact_store.stat(TENANT, short)
    assert artifact_store.get(TENANT, long) == b"long"


def test_a_pinned_artifact_is_kept_until_it_was_unpinned_as_often(artifact_store, job_store):
    sha256 = artifact_store.put(TENANT, b"data", ttl_s=0.001)
    artifact_store.pin(TENANT, sha256)
    artifact_store.pin(TENANT, sha256)
    artifact_store.unpin(TENANT, sha256)
    job_store.expire(10)
    assert artifact_store.stat(TENANT, sha256).expires_ms is None
    assert artifact_store.touch(TENANT, sha256).expires_ms is None
    with pytest.raises(FailedPrecondition) as refused:
        artifact_store.delete(TENANT, sha256)
    assert refused.value.reason == "ARTIFACT_IN_USE"
    artifact_store.unpin(TENANT, sha256)
    artifact_store.unpin(TENANT, sha256)
    assert artifact_store.stat(TENANT, sha256).expires_ms is not None
    artifact_store.delete(TENANT, sha256)


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_chunk_is_noticed(artifact_store, redis, damage):
    sha256 = artifact_store.put(TENANT, some_bytes(3 * CHUNK_BYTES))
    key = f"{{sparring}}:a:{TENANT}:{sha256}:1"
    if damage == "changed":
        redis.setrange(key, 5, b"\x00\x01\x02")
    elif damage == "cut":
        redis.set(key, redis.get(key)[:-1])
    else:
        redis.delete(key)
    with pytest.raises(DataLoss, match="chunk 1"):
        artifact_store.get(TENANT, sha256)


@pytest.mark.parametrize("size", [0, 101])
def test_the_size_is_limited(redis, store_settings, job_store, size):
    store = ArtifactStore(redis, StoreSettings(store_settings.redis_url, max_artifact_bytes=100))
    with pytest.raises(InvalidArgument) as refused:
        store.put(TENANT, b"x" * size)
    assert [violation.field for violation in refused.value.violations] == ["size_bytes"]


def test_a_put_whose_chunks_lapsed_on_the_way_can_be_repeated(artifact_store, redis, monkeypatch):
    data, digest = some_bytes(2 * CHUNK_BYTES), store_module.chunk_digest

    def slowly(chunk):
        for key in redis.keys("{sparring}:u:t:*:0"):
            redis.delete(key)
        return digest(chunk)

    monkeypatch.setattr(store_module, "chunk_digest", slowly)
    with pytest.raises(Unavailable):
        artifact_store.put(TENANT, data)
    monkeypatch.undo()
    assert artifact_store.get(TENANT, artifact_store.put(TENANT, data)) == data


def test_a_full_server_says_so_and_can_be_emptied(tmp_path, server_binary, job_store):
    with start(tmp_path, maxmemory=20_000_000, binary=server_binary) as server:
        settings = StoreSettings(server.url)
        with connect(settings) as redis:
            jobs = type(job_store)(redis, settings)
            jobs.load_functions()
            store = ArtifactStore(redis, settings)
            seeds, kept = itertools.count(), []
            with pytest.raises(ResourceExhausted) as refused:
                kept.extend(store.put(TENANT, some_bytes(CHUNK_BYTES, seed)) for seed in seeds)
            assert refused.value.retry_after_s > 0
            assert len(kept) > 5
            for sha256 in kept:
                store.delete(TENANT, sha256)
            assert store.get(TENANT, store.put(TENANT, b"room again")) == b"room again"


@pytest.mark.parametrize(
    "name", ["", "artifacts/", "artifacts/" + "A" * 64, "a" * 63, "models/" + "a" * 64, "a" * 64 + "\n"]
)
def test_a_name_is_checked(name):
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        parse_name(name)


def test_a_name_leads_back_to_its_digest():
    assert parse_name(artifact_name(ABSENT)) == parse_name(ABSENT) == ABSENT
