"""The gateway's side: resumable uploads in any pieces, reads from any offset, and refusals."""

import asyncio
import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.artifacts.ahead import AHEAD_OF_ALL, PIECE_BYTES
from services.artifacts.calls import ArtifactInfo
from services.artifacts.digest import CHUNK_BYTES
from services.artifacts.store import AsyncArtifactStore
from services.connection import connect_async
from services.errors import DataLoss, InvalidArgument, NotFound, OutOfRange, ResourceExhausted
from services.settings import StoreSettings

TENANT = "t"
SIZE = 2 * CHUNK_BYTES + 1000
DATA = hashlib.shake_128(b"artifact").digest(SIZE)
SHA = hashlib.sha256(DATA).hexdigest()


async def begin(store, sha256=SHA, size=SIZE):
    upload_id = await store.begin(TENANT, sha256, size, "application/octet-stream")
    assert isinstance(upload_id, str)
    return upload_id


async def send(store, upload_id, *, start=0, end=SIZE, step=CHUNK_BYTES, data=DATA):
    for offset in range(start, end, step):
        await store.append(TENANT, upload_id, offset, data[offset : min(offset + step, end)])


async def read(store, sha256=SHA, offset=0, limit=0):
    pieces = [piece async for piece in store.read(TENANT, sha256, offset, limit)]
    position = offset
    for at, data in pieces:
        assert at == position
        assert 0 < len(data) <= CHUNK_BYTES
        position += len(data)
    return b"".join(data for _, data in pieces)


@pytest.mark.parametrize("step", [1000, 65_536, 700_001, CHUNK_BYTES, 2 * CHUNK_BYTES, SIZE])
async def test_an_upload_may_come_in_any_pieces(async_artifact_store, step, redis):
    store = async_artifact_store
    upload_id = await begin(store)
    await send(store, upload_id, step=step)
    info = await store.seal(TENANT, upload_id)
    assert (info.sha256, info.size_bytes) == (SHA, SIZE)
    assert await read(store) == DATA
    assert [key for key in redis.keys("*") if b":u:" in key or b"uploads" in key] == []
    assert int(redis.get("{sparring}:bytes:t")) == SIZE


async def test_bytes_that_are_held_need_not_be_sent(async_artifact_store, artifact_store):
    artifact_store.put(TENANT, DATA)
    assert isinstance(await async_artifact_store.begin(TENANT, SHA, SIZE, "text/plain"), ArtifactInfo)


async def test_an_upload_that_was_cut_off_goes_on_at_the_last_whole_chunk(async_artifact_store):
    store = async_artifact_store
    upload_id = await begin(store)
    await send(store, upload_id, end=CHUNK_BYTES + 5000, step=3000)
    assert await store.query(TENANT, upload_id) == (CHUNK_BYTES, SIZE)
    await send(store, upload_id, start=CHUNK_BYTES)
    assert await store.query(TENANT, upload_id) == (SIZE, SIZE)
    await store.seal(TENANT, upload_id)
    assert await read(store) == DATA


async def test_another_gateway_can_go_on_with_it_and_the_first_one_again(
    async_artifact_store, async_redis, store_settings
):
    stores = [async_artifact_store, AsyncArtifactStore(async_redis, store_settings)]
    upload_id = await begin(stores[0])
    await stores[0].append(TENANT, upload_id, 0, DATA[:CHUNK_BYTES])
    assert await stores[0].query(TENANT, upload_id) == (CHUNK_BYTES, SIZE)
    await send(stores[1], upload_id, start=CHUNK_BYTES, end=2 * CHUNK_BYTES)
    assert await stores[1].query(TENANT, upload_id) == (2 * CHUNK_BYTES, SIZE)
    await send(stores[0], upload_id, start=2 * CHUNK_BYTES)
    await stores[0].seal(TENANT, upload_id)
    assert await read(stores[1]) == DATA


async def test_of_two_streams_of_one_upload_one_is_refused(async_artifact_store, async_redis, store_settings):
    stores = [async_artifact_store, AsyncArtifactStore(async_redis, store_settings)]
    upload_id = await begin(stores[0])
    for store in stores:
        await store.append(TENANT, upload_id, 0, DATA[: CHUNK_BYTES // 2])
    other = bytes(CHUNK_BYTES // 2)
    await stores[0].append(TENANT, upload_id, CHUNK_BYTES // 2, DATA[CHUNK_BYTES // 2 : CHUNK_BYTES])
    await stores[0].query(TENANT, upload_id)
    await stores[1].append(TENANT, upload_id, CHUNK_BYTES // 2, other)
    with pytest.raises(OutOfRange):  # noqa: PT012 - the refusal comes once the store has answered
        await stores[1].append(TENANT, upload_id, CHUNK_BYTES, DATA[CHUNK_BYTES : 2 * CHUNK_BYTES])
        await stores[1].query(TENANT, upload_id)
    await send(stores[1], upload_id, start=CHUNK_BYTES)
    await stores[1].seal(TENANT, upload_id)
    assert await read(stores[0]) == DATA


async def test_a_chunk_that_is_sent_again_is_kept_once(async_artifact_store, async_redis, store_settings):
    stores = [async_artifact_store, AsyncArtifactStore(async_redis, store_settings)]
    upload_id = await begin(stores[0])
    for store in stores:
        await store.append(TENANT, upload_id, 0, b"")
    for store in stores:
        await store.append(TENANT, upload_id, 0, DATA[:CHUNK_BYTES])
        assert await store.query(TENANT, upload_id) == (CHUNK_BYTES, SIZE)


@pytest.mark.parametrize("offset", [1, 1000, CHUNK_BYTES - 1, 2 * CHUNK_BYTES, SIZE])
async def test_a_gap_is_refused_and_harms_nothing(async_artifact_store, offset):
    store = async_artifact_store
    upload_id = await begin(store)
    await store.append(TENANT, upload_id, 0, DATA[:CHUNK_BYTES])
    with pytest.raises(OutOfRange):
        await store.append(TENANT, upload_id, offset, b"x")
    await send(store, upload_id, start=CHUNK_BYTES)
    await store.seal(TENANT, upload_id)


async def test_no_more_is_taken_than_was_declared(async_artifact_store):
    upload_id = await begin(async_artifact_store)
    with pytest.raises(OutOfRange, match="declared"):
        await async_artifact_store.append(TENANT, upload_id, 0, DATA + b"x")
    await send(async_artifact_store, upload_id)
    with pytest.raises(OutOfRange):
        await async_artifact_store.append(TENANT, upload_id, SIZE, b"x")


async def test_an_upload_is_sealed_when_it_is_whole(async_artifact_store):
    store = async_artifact_store
    upload_id = await begin(store)
    await send(store, upload_id, end=SIZE - 1)
    with pytest.raises(OutOfRange, match="send the rest"):
        await store.seal(TENANT, upload_id)
    await store.append(TENANT, upload_id, SIZE - 1, DATA[-1:])
    await store.seal(TENANT, upload_id)


async def test_other_bytes_than_declared_are_refused_and_dropped(async_artifact_store, redis):
    store = async_artifact_store
    upload_id = await begin(store)
    await send(store, upload_id, data=bytes(SIZE))
    with pytest.raises(DataLoss):
        await store.seal(TENANT, upload_id)
    with pytest.raises(NotFound):
        await store.query(TENANT, upload_id)
    assert [key for key in redis.keys("*") if b":u:" in key or b":a:" in key] == []


async def test_a_staged_chunk_that_was_damaged_is_noticed_when_the_upload_goes_on(
    async_artifact_store, async_redis, store_settings, redis
):
    upload_id = await begin(async_artifact_store)
    await send(async_artifact_store, upload_id, end=CHUNK_BYTES)
    await async_artifact_store.query(TENANT, upload_id)
    redis.setrange(f"{{sparring}}:u:t:{upload_id}:0", 7, b"damage")
    with pytest.raises(DataLoss):
        await AsyncArtifactStore(async_redis, store_settings).append(TENANT, upload_id, CHUNK_BYTES, b"x")


async def test_an_upload_that_lost_a_chunk_is_not_sealed(async_artifact_store, redis):
    upload_id = await begin(async_artifact_store)
    await send(async_artifact_store, upload_id)
    await async_artifact_store.query(TENANT, upload_id)
    redis.delete(f"{{sparring}}:u:t:{upload_id}:1")
    with pytest.raises(NotFound):
        await async_artifact_store.seal(TENANT, upload_id)
    with pytest.raises(NotFound):
        await async_artifact_store.stat(TENANT, SHA)


async def test_of_two_uploads_of_the_same_bytes_both_end_well(async_artifact_store, redis):
    store = async_artifact_store
    uploads = [await begin(store) for _ in range(2)]
    await asyncio.gather(*(send(store, upload_id) for upload_id in uploads))
    one, two = [await store.seal(TENANT, upload_id) for upload_id in uploads]
    assert (one.sha256, one.created_ms) == (two.sha256, two.created_ms)
    assert int(redis.get("{sparring}:bytes:t")) == SIZE
    assert [key for key in redis.keys("*") if b":u:" in key] == []


async def test_an_upload_lapses_an_hour_after_its_last_chunk(async_artifact_store, job_store, redis):
    upload_id = await begin(async_artifact_store)
    await send(async_artifact_store, upload_id, end=CHUNK_BYTES)
    await async_artifact_store.query(TENANT, upload_id)
    assert job_store.expire(10) == 0
    redis.zadd(
        "{sparring}:uploads", {f"t/{upload_id}": redis.zscore("{sparring}:uploads", f"t/{upload_id}") - 3_600_001}
    )
    assert job_store.expire(10) == 1
    assert redis.keys("{sparring}:u:t:*") == []
    for asked in (async_artifact_store.query(TENANT, upload_id), async_artifact_store.seal(TENANT, upload_id)):
        with pytest.raises((NotFound, OutOfRange)):
            await asked


async def test_what_is_declared_is_checked_whole(async_artifact_store):
    with pytest.raises(InvalidArgument) as refused:
        await async_artifact_store.begin(TENANT, "A" * 64, 0, "m" * 101)
    assert {violation.field for violation in refused.value.violations} == {"sha256", "size_bytes", "media_type"}
    with pytest.raises(InvalidArgument):
        await async_artifact_store.begin(TENANT, SHA, (2 << 30) + 1, "")


async def test_an_upload_that_would_fill_the_store_is_refused(async_redis, store_settings, redis, job_store):
    used = redis.info("memory")["used_memory"]
    limited = StoreSettings(store_settings.redis_url, redis_memory_bytes=2 * used)
    store = AsyncArtifactStore(async_redis, limited)
    assert await store.usage() == pytest.approx(0.5, abs=0.1)
    with pytest.raises(ResourceExhausted) as refused:
        await store.begin(TENANT, SHA, used, "")
    assert refused.value.retry_after_s > 0
    assert isinstance(await store.begin(TENANT, SHA, used // 10, ""), str)


async def test_a_store_without_a_limit_is_never_full(async_artifact_store):
    assert await async_artifact_store.usage() == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, SIZE), st.integers(0, SIZE))
def test_a_read_gives_exactly_the_bytes_asked_for(artifact_store, store_settings, offset, limit):
    async def check():
        async with connect_async(store_settings) as client:
            end = SIZE if limit == 0 else offset + limit
            assert await read(AsyncArtifactStore(client, store_settings), SHA, offset, limit) == DATA[offset:end]

    artifact_store.put(TENANT, DATA)
    asyncio.run(check())


@pytest.mark.parametrize("offset", [-1, SIZE + 1])
async def test_a_read_beyond_the_end_is_refused(async_artifact_store, artifact_store, offset):
    artifact_store.put(TENANT, DATA)
    with pytest.raises(OutOfRange):
        await read(async_artifact_store, offset=offset)


async def test_a_damaged_chunk_is_noticed_before_it_is_given_out(async_artifact_store, artifact_store, redis):
    artifact_store.put(TENANT, DATA)
    redis.setrange(f"{{sparring}}:a:t:{SHA}:1", 3, b"damage")
    got: list[memoryview] = []

    async def read_into() -> None:
        async for _, data in async_artifact_store.read(TENANT, SHA):
            got.append(data)

    with pytest.raises(DataLoss, match="chunk 1"):
        await read_into()
    assert b"".join(got) == DATA[:CHUNK_BYTES]
    assert await read(async_artifact_store, offset=2 * CHUNK_BYTES) == DATA[2 * CHUNK_BYTES :]


async def test_a_reader_that_goes_away_leaves_the_connections_in_order(async_artifact_store, artifact_store):
    artifact_store.put(TENANT, DATA)
    for _ in range(20):
        reading = async_artifact_store.read(TENANT, SHA)
        assert await anext(reading) == (0, DATA[:PIECE_BYTES])
        await reading.aclose()
    assert await read(async_artifact_store) == DATA


async def test_readers_who_do_not_go_on_have_little_fetched_for_them(async_artifact_store, artifact_store, monkeypatch):
    fetched = 0
    fetch = AsyncArtifactStore._fetch

    def counted(*arguments):
        nonlocal fetched
        fetched += 1
        return fetch(*arguments)

    monkeypatch.setattr(AsyncArtifactStore, "_fetch", counted)
    artifact_store.put(TENANT, DATA)
    readers = [async_artifact_store.read(TENANT, SHA) for _ in range(30)]
    for reader in readers:
        await anext(reader)
    assert fetched == 30 + AHEAD_OF_ALL
    # What one of them had ahead is another's when it has gone.
    for reader in readers:
        await reader.aclose()
    assert await read(async_artifact_store) == DATA
    assert async_artifact_store._ahead.left == AHEAD_OF_ALL


async def test_all_is_read_up_to_a_limit(async_artifact_store, artifact_store):
    artifact_store.put(TENANT, DATA)
    assert await async_artifact_store.read_all(TENANT, SHA, SIZE) == DATA
    with pytest.raises(OutOfRange):
        await async_artifact_store.read_all(TENANT, SHA, SIZE - 1)


async def test_what_is_not_there_is_not_found(async_artifact_store):
    store = async_artifact_store
    for asked in (store.stat, store.touch, store.delete, store.pin, store.unpin, read_nothing(store)):
        with pytest.raises(NotFound):
            await asked(TENANT, "b" * 64)
    for asked in (store.query, store.seal):
        with pytest.raises(NotFound):
            await asked(TENANT, "no-upload")
    with pytest.raises(NotFound):
        await store.append(TENANT, "no-upload", 0, b"x")


async def test_pins_and_deletion_are_those_of_the_other_store(async_artifact_store, artifact_store):
    sha256 = artifact_store.put(TENANT, b"data")
    await async_artifact_store.pin(TENANT, sha256)
    assert (await async_artifact_store.stat(TENANT, sha256)).expires_ms is None
    await async_artifact_store.unpin(TENANT, sha256)
    assert (await async_artifact_store.touch(TENANT, sha256, 10)).expires_ms is not None
    await async_artifact_store.delete(TENANT, sha256)
    with pytest.raises(NotFound):
        artifact_store.get(TENANT, sha256)


def read_nothing(store):
    async def asked(_, sha256):
        return await read(store, sha256)

    return asked
