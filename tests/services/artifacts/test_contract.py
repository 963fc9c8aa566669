"""What holds wherever the bytes are: in the job Redis, a second Redis, a folder, or a bucket of an S3 server."""

import asyncio
import hashlib

import pytest

from services.artifacts.digest import CHUNK_BYTES
from services.artifacts.store import AsyncArtifactStore
from services.errors import DataLoss, FailedPrecondition, NotFound, OutOfRange, QuotaExceeded
from services.jobs.record import Quota

TENANT = "t"
SIZE = 4 * CHUNK_BYTES + 1000
DATA = hashlib.shake_128(b"contract").digest(SIZE)
SHA = hashlib.sha256(DATA).hexdigest()


async def upload(gateway, data=DATA, tenant=TENANT, step=700_001):
    upload_id = await gateway.begin(tenant, hashlib.sha256(data).hexdigest(), len(data), "text/plain")
    for offset in range(0, len(data), step):
        await gateway.append(tenant, upload_id, offset, data[offset : offset + step])
    return await gateway.seal(tenant, upload_id)


async def read(gateway, offset=0, limit=0, tenant=TENANT):
    return b"".join([bytes(data) async for _, data in gateway.read(tenant, SHA, offset, limit)])


async def test_what_a_gateway_takes_a_worker_gets_and_the_other_way_round(backend):
    info = await upload(backend.gateway)
    assert (info.sha256, info.size_bytes, info.media_type) == (SHA, SIZE, "text/plain")
    assert backend.store.get(TENANT, SHA) == DATA
    assert await read(backend.gateway) == DATA
    backend.store.delete(TENANT, SHA)
    assert backend.store.put(TENANT, DATA) == SHA
    assert await read(backend.gateway) == DATA
    assert backend.store.get(TENANT, SHA) == DATA


def test_what_is_put_in_pieces_is_one_whole(backend):
    for pieces in ([1], [CHUNK_BYTES], [5, CHUNK_BYTES - 5, 0, 7], [4 * CHUNK_BYTES], [SIZE - 3, 3]):
        data = DATA[: sum(pieces)]
        starts = [sum(pieces[:number]) for number in range(len(pieces))]
        parts = (data[start : start + size] for start, size in zip(starts, pieces, strict=True))
        sha256, size = backend.store.put_parts(TENANT, parts)
        assert (sha256, size) == (hashlib.sha256(data).hexdigest(), len(data)), pieces
        assert backend.store.get(TENANT, sha256) == data, pieces


async def test_any_range_can_be_read(backend):
    backend.store.put(TENANT, DATA)
    chunk = CHUNK_BYTES
    for offset, limit in [(0, 1), (chunk - 1, 2), (3 * chunk, chunk), (4 * chunk - 5, 0), (SIZE - 1, 9), (SIZE, 0)]:
        assert await read(backend.gateway, offset, limit) == DATA[offset : SIZE if limit == 0 else offset + limit]


async def test_an_upload_goes_on_at_another_gateway_wherever_it_was_cut_off(backend, async_redis):
    others = [AsyncArtifactStore(async_redis, backend.settings) for _ in range(2)]
    gateways = [backend.gateway, *others]
    upload_id = await backend.gateway.begin(TENANT, SHA, SIZE, "text/plain")
    at = 0
    for number, cut in enumerate([CHUNK_BYTES + 17, 3 * CHUNK_BYTES - 1, 3 * CHUNK_BYTES + 1, SIZE]):
        gateway = gateways[number % len(gateways)]
        for offset in range(at, cut, 300_000):
            await gateway.append(TENANT, upload_id, offset, DATA[offset : min(offset + 300_000, cut)])
        at, size = await gateway.query(TENANT, upload_id)
        assert (at, size) == (SIZE if cut == SIZE else cut // CHUNK_BYTES * CHUNK_BYTES, SIZE)
    await gateways[0].seal(TENANT, upload_id)
    assert await read(gateways[1]) == DATA
    if backend.bytes is not None:
        backend.sweep()
        assert backend.scrub() == 0
        assert await read(gateways[1]) == DATA
    for other in others:
        await other.aclose()


async def test_of_two_streams_of_one_upload_one_is_refused_and_its_bytes_harm_nobody(backend, async_redis):
    other = AsyncArtifactStore(async_redis, backend.settings)
    upload_id = await backend.gateway.begin(TENANT, SHA, SIZE, "text/plain")
    for gateway in (backend.gateway, other):
        await gateway.append(TENANT, upload_id, 0, b"")
    await backend.gateway.append(TENANT, upload_id, 0, DATA[: 2 * CHUNK_BYTES])
    await backend.gateway.query(TENANT, upload_id)
    with pytest.raises(OutOfRange):  # noqa: PT012 - the refusal comes once the store has answered
        await other.append(TENANT, upload_id, 0, bytes(CHUNK_BYTES))
        await other.query(TENANT, upload_id)
    await backend.gateway.append(TENANT, upload_id, 2 * CHUNK_BYTES, DATA[2 * CHUNK_BYTES :])
    await backend.gateway.seal(TENANT, upload_id)
    assert await read(other) == DATA
    if backend.bytes is not None:
        backend.scrub()
        assert await read(other) == DATA
        assert len(backend.objects()) == len(needed(backend))
    await other.aclose()


async def test_other_bytes_than_declared_are_refused_and_leave_nothing(backend):
    upload_id = await backend.gateway.begin(TENANT, SHA, SIZE, "text/plain")
    await backend.gateway.append(TENANT, upload_id, 0, bytes(SIZE))
    with pytest.raises(DataLoss):
        await backend.gateway.seal(TENANT, upload_id)
    with pytest.raises(NotFound):
        await backend.gateway.stat(TENANT, SHA)
    assert_nothing_is_left(backend)


async def test_harm_is_noticed_and_said(backend):
    for how in ("changed", "cut", "gone"):
        backend.store.put(TENANT, DATA)
        backend.harm(TENANT, SHA, SIZE // CHUNK_BYTES, how)
        with pytest.raises(DataLoss, match=r"chunk \d+ of artifact .* upload or make it again"):
            backend.store.get(TENANT, SHA)
        with pytest.raises(DataLoss):
            await read(backend.gateway)
        backend.store.delete(TENANT, SHA)


async def test_lost_bytes_can_be_brought_again_even_of_what_is_pinned(backend):
    backend.store.put(TENANT, DATA)
    backend.store.pin(TENANT, SHA)
    created = backend.store.stat(TENANT, SHA).created_ms
    for bring in (lambda: asyncio.to_thread(backend.store.put, TENANT, DATA), lambda: upload(backend.gateway)):
        backend.harm(TENANT, SHA, 1, "gone")
        with pytest.raises(DataLoss):
            backend.store.get(TENANT, SHA)
        await bring()
        assert backend.store.get(TENANT, SHA) == DATA
        info = backend.store.stat(TENANT, SHA)
        assert (info.created_ms, info.expires_ms) == (created, None)
        assert backend.jobs.usage(TENANT).artifact_bytes == SIZE
    backend.store.unpin(TENANT, SHA)
    backend.store.delete(TENANT, SHA)
    assert_nothing_is_left(backend)


async def test_the_same_bytes_are_kept_once_however_often_they_come(backend):
    backend.store.put(TENANT, DATA)
    before = [] if backend.bytes is None else backend.objects()
    await asyncio.gather(*(asyncio.to_thread(backend.store.put, TENANT, DATA) for _ in range(2)))
    assert not isinstance(await backend.gateway.begin(TENANT, SHA, SIZE, ""), str)
    if backend.bytes is not None:
        assert backend.objects() == before
    assert backend.jobs.usage(TENANT).artifact_bytes == SIZE


async def test_of_writers_of_the_same_bytes_at_once_one_is_kept(backend):
    uploads = [await backend.gateway.begin(TENANT, SHA, SIZE, "") for _ in range(2)]

    async def send(upload_id):
        await backend.gateway.append(TENANT, upload_id, 0, DATA)
        return await backend.gateway.seal(TENANT, upload_id)

    puts = [asyncio.to_thread(backend.store.put, TENANT, DATA) for _ in range(2)]
    await asyncio.gather(*(send(upload_id) for upload_id in uploads), *puts)
    assert backend.jobs.usage(TENANT).artifact_bytes == SIZE
    if backend.bytes is not None:
        while backend.sweep():
            pass
        assert len(backend.objects()) == len(needed(backend))
    assert backend.store.get(TENANT, SHA) == DATA


def test_what_is_deleted_or_lapses_leaves_nothing(backend):
    backend.store.put(TENANT, DATA)
    backend.store.delete(TENANT, SHA)
    backend.store.put(TENANT, DATA, ttl_s=0.001)
    backend.store.put("u", DATA[:10], ttl_s=0.001)
    gone = 0
    while gone < 2:
        gone += backend.jobs.expire(10)
    assert_nothing_is_left(backend)


async def test_bytes_that_come_back_before_the_sweep_are_not_swept(backend):
    backend.store.put(TENANT, DATA)
    backend.store.delete(TENANT, SHA)
    await upload(backend.gateway)
    if backend.bytes is not None:
        assert backend.sweep() == 1
    assert backend.store.get(TENANT, SHA) == DATA


async def test_an_upload_that_nobody_ends_lapses_with_its_bytes(backend):
    upload_id = await backend.gateway.begin(TENANT, SHA, SIZE, "")
    await backend.gateway.append(TENANT, upload_id, 0, DATA[: 3 * CHUNK_BYTES])
    await backend.gateway.query(TENANT, upload_id)
    if backend.bytes is not None:
        assert backend.scrub() == 0, "what is under way is nobody's rubbish"
    backend.redis.zadd("{sparring}:uploads", {f"{TENANT}/{upload_id}": 1})
    assert backend.jobs.expire(10) == 1
    assert_nothing_is_left(backend)
    with pytest.raises((NotFound, OutOfRange)):
        await backend.gateway.seal(TENANT, upload_id)


async def test_tenants_are_apart(backend):
    await upload(backend.gateway)
    with pytest.raises(NotFound):
        backend.store.get("u", SHA)
    with pytest.raises(NotFound):
        await read(backend.gateway, tenant="u")
    backend.store.put("u", DATA)
    backend.store.delete(TENANT, SHA)
    if backend.bytes is not None:
        backend.sweep()
        assert {tenant for tenant, _, _ in backend.objects()} == {"u"}
    assert backend.store.get("u", SHA) == DATA


async def test_quotas_count_the_same(backend):
    backend.jobs.set_quota(TENANT, Quota(max_artifact_bytes=SIZE))
    upload_id = await backend.gateway.begin(TENANT, SHA, SIZE, "")
    assert backend.jobs.usage(TENANT).artifact_bytes == SIZE
    with pytest.raises(QuotaExceeded):
        await backend.gateway.begin(TENANT, "0" * 64, 1, "")
    await backend.gateway.append(TENANT, upload_id, 0, DATA)
    await backend.gateway.seal(TENANT, upload_id)
    assert backend.jobs.usage(TENANT).artifact_bytes == SIZE
    backend.store.delete(TENANT, SHA)
    assert backend.jobs.usage(TENANT).artifact_bytes == 0


def test_pins_hold(backend):
    backend.store.put(TENANT, DATA, ttl_s=0.001)
    backend.store.pin(TENANT, SHA)
    backend.jobs.expire(10)
    with pytest.raises(FailedPrecondition):
        backend.store.delete(TENANT, SHA)
    assert backend.store.get(TENANT, SHA) == DATA


def needed(backend):
    """How many parts the one artifact of `TENANT` has."""
    counts = backend.redis.hget(f"{{sparring}}:a:{TENANT}:{SHA}:m", "shelf").split(b"/")[2]
    return counts.split(b",")


def assert_nothing_is_left(backend):
    """No bytes, no keys about them, and nothing counted."""
    if backend.bytes is not None:
        while backend.sweep():
            pass
        assert backend.objects() == []
    kept = backend.redis.keys("{sparring}:[au]:*") + backend.redis.keys("{sparring}:shelves:*")
    assert kept + backend.redis.keys("{sparring}:discarded:*") == []
    assert backend.jobs.usage(TENANT).artifact_bytes == 0
