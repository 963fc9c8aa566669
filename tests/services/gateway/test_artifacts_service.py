"""ArtifactService through a real gateway and a real store."""

import asyncio
import hashlib
import random

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparring.v1 import artifacts_pb2

from services.artifacts.digest import CHUNK_BYTES
from services.gateway import wire

CHUNK = CHUNK_BYTES
DATA = random.Random(1).randbytes(3 * CHUNK + 12_345)
SHA = hashlib.sha256(DATA).hexdigest()
NAME = f"artifacts/{SHA}"
SIZE = len(DATA)
MESSAGE = 700_000


def messages(upload_id, data, offset=0):
    """An upload in messages that do not fit the store's chunks."""
    for start in range(0, len(data), MESSAGE):
        part = data[start : start + MESSAGE]
        yield artifacts_pb2.UploadArtifactRequest(upload_id=upload_id, offset=offset + start, data=part)
        upload_id = ""


async def begin(stubs, sha=SHA, size=SIZE, media_type=""):
    request = artifacts_pb2.BeginUploadRequest(sha256=sha, size_bytes=size, media_type=media_type)
    return await stubs.artifacts.BeginUpload(request)


async def upload(stubs):
    upload_id = (await begin(stubs)).upload_id
    return await stubs.artifacts.UploadArtifact(messages(upload_id, DATA))


async def download(stubs, offset=0, limit=0):
    pieces, position = [], offset
    request = artifacts_pb2.DownloadArtifactRequest(name=NAME, offset=offset, limit=limit)
    async for response in stubs.artifacts.DownloadArtifact(request):
        assert response.offset == position
        assert 0 < len(response.data) <= CHUNK
        pieces.append(response.data)
        position += len(response.data)
    return b"".join(pieces)


async def test_bytes_come_back_as_they_went_in(stubs):
    response = await upload(stubs)
    assert response.committed_bytes == len(DATA)
    sealed = response.artifact
    assert (sealed.name, sealed.size_bytes, sealed.media_type) == (NAME, len(DATA), "application/octet-stream")
    assert sealed.expire_time.ToSeconds() > sealed.create_time.ToSeconds()
    assert await stubs.artifacts.GetArtifact(artifacts_pb2.GetArtifactRequest(name=NAME)) == sealed
    assert await download(stubs) == DATA


async def test_bytes_that_are_held_are_not_sent_again(stubs):
    await upload(stubs)
    assert (await begin(stubs)).artifact.name == NAME


@pytest.mark.parametrize(
    ("offset", "limit"), [(1, 0), (CHUNK, 0), (CHUNK - 1, 2), (5, 3 * CHUNK), (len(DATA), 0), (0, 10**12)]
)
async def test_a_download_starts_and_ends_anywhere(stubs, offset, limit):
    await upload(stubs)
    assert await download(stubs, offset, limit) == DATA[offset : offset + limit if limit else None]


async def test_an_upload_that_was_cut_off_goes_on_where_it_stopped(stubs, until):
    upload_id = (await begin(stubs)).upload_id
    arrived = asyncio.Event()

    async def half():
        for message in list(messages(upload_id, DATA))[:4]:
            yield message
        arrived.set()
        await asyncio.sleep(60)

    call = stubs.artifacts.UploadArtifact(half())
    await arrived.wait()
    query = artifacts_pb2.QueryUploadRequest(upload_id=upload_id)

    async def two_chunks_are_kept():
        return (await stubs.artifacts.QueryUpload(query)).committed_bytes == 2 * CHUNK

    await until(two_chunks_are_kept)
    call.cancel()
    state = await stubs.artifacts.QueryUpload(query)
    assert (state.committed_bytes, state.size_bytes) == (2 * CHUNK, len(DATA))
    rest = messages(upload_id, DATA[2 * CHUNK :], 2 * CHUNK)
    assert (await stubs.artifacts.UploadArtifact(rest)).artifact.name == NAME
    assert await download(stubs) == DATA


async def test_an_upload_may_pause_between_streams(stubs):
    upload_id = (await begin(stubs)).upload_id
    first = await stubs.artifacts.UploadArtifact(messages(upload_id, DATA[:CHUNK]))
    assert (first.committed_bytes, first.HasField("artifact")) == (CHUNK, False)
    second = await stubs.artifacts.UploadArtifact(messages(upload_id, DATA[CHUNK:], CHUNK))
    assert second.artifact.name == NAME


async def test_other_bytes_than_declared_are_refused_and_gone(stubs, refusal):
    upload_id = (await begin(stubs)).upload_id
    wrong = b"x" + DATA[1:]
    found = await refusal(stubs.artifacts.UploadArtifact(messages(upload_id, wrong)))
    assert (found.code, found.reason) == ("DATA_LOSS", "DIGEST_MISMATCH")
    query = artifacts_pb2.QueryUploadRequest(upload_id=upload_id)
    assert (await refusal(stubs.artifacts.QueryUpload(query))).code == "NOT_FOUND"
    assert (await refusal(stubs.artifacts.GetArtifact(artifacts_pb2.GetArtifactRequest(name=NAME)))).code == "NOT_FOUND"


async def test_more_bytes_than_declared_are_refused(stubs, refusal):
    upload_id = (await begin(stubs)).upload_id
    found = await refusal(stubs.artifacts.UploadArtifact(messages(upload_id, DATA + b"x")))
    assert found.code == "OUT_OF_RANGE"


async def test_a_stream_starts_at_the_committed_offset(stubs, refusal):
    upload_id = (await begin(stubs)).upload_id
    found = await refusal(stubs.artifacts.UploadArtifact(messages(upload_id, DATA[CHUNK:], CHUNK)))
    assert found.code == "OUT_OF_RANGE"


async def test_a_stream_is_one_upload_in_bounded_messages(stubs, refusal):
    upload_id = (await begin(stubs)).upload_id
    mixed = [
        artifacts_pb2.UploadArtifactRequest(upload_id=upload_id),
        artifacts_pb2.UploadArtifactRequest(upload_id="f" * 32, data=b"x" * (2 * CHUNK + 1)),
    ]
    found = await refusal(stubs.artifacts.UploadArtifact(iter(mixed)))
    assert set(found.fields) == {"upload_id", "data"}
    assert set((await refusal(stubs.artifacts.UploadArtifact(iter([])))).fields) == {"upload_id"}


@pytest.mark.parametrize("upload_id", ["f" * 32, "x", "f" * 32 + ":0", "../../etc"])
async def test_an_unknown_upload_is_not_there(stubs, refusal, upload_id):
    found = await refusal(stubs.artifacts.QueryUpload(artifacts_pb2.QueryUploadRequest(upload_id=upload_id)))
    assert (found.code, found.resource) == ("NOT_FOUND", upload_id)


async def test_what_is_declared_is_checked_whole(stubs, refusal):
    found = await refusal(begin(stubs, sha="XYZ", size=0, media_type="m" * 101))
    assert set(found.fields) == {"sha256", "size_bytes", "media_type"}
    assert set((await refusal(begin(stubs, size=3 << 30))).fields) == {"size_bytes"}


async def test_a_damaged_chunk_is_never_sent(stubs, redis, refusal):
    await upload(stubs)
    key = next(key for key in redis.scan_iter() if SHA.encode() in key and key.endswith(b":1"))
    redis.setrange(key, 77, b"damaged")

    async def read():
        await download(stubs)

    assert (await refusal(read())).code == "DATA_LOSS"


async def test_downloads_out_of_bounds_are_refused(stubs, refusal):
    await upload(stubs)

    async def read(**fields):
        async for _ in stubs.artifacts.DownloadArtifact(artifacts_pb2.DownloadArtifactRequest(name=NAME, **fields)):
            pass

    assert (await refusal(read(offset=len(DATA) + 1))).code == "OUT_OF_RANGE"
    assert (await refusal(read(offset=-1))).code == "OUT_OF_RANGE"
    assert set((await refusal(read(limit=-1))).fields) == {"limit"}


async def test_an_artifact_is_deleted_unless_something_is_built_on_it(stubs, job_store, artifact_store, refusal):
    await upload(stubs)
    delete = artifacts_pb2.DeleteArtifactRequest(name=NAME)
    artifact_store.pin("default", SHA)
    found = await refusal(stubs.artifacts.DeleteArtifact(delete))
    assert found.code == "FAILED_PRECONDITION"
    pinned = await stubs.artifacts.GetArtifact(artifacts_pb2.GetArtifactRequest(name=NAME))
    assert not pinned.HasField("expire_time")
    artifact_store.unpin("default", SHA)
    await stubs.artifacts.DeleteArtifact(delete)
    assert (await refusal(stubs.artifacts.DeleteArtifact(delete))).code == "NOT_FOUND"


async def test_a_client_that_leaves_a_download_leaves_nothing_behind(stubs, until):
    await upload(stubs)
    before = len(asyncio.all_tasks())
    call = stubs.artifacts.DownloadArtifact(artifacts_pb2.DownloadArtifactRequest(name=NAME))
    await call.read()
    call.cancel()

    async def nothing_is_left():
        return len(asyncio.all_tasks()) <= before

    await until(nothing_is_left)
    assert await call.code() == grpc.StatusCode.CANCELLED


@given(st.integers(0, 2**62), st.binary(max_size=300))
def test_a_response_is_encoded_as_protobuf_would(offset, data):
    message = artifacts_pb2.DownloadArtifactResponse(offset=offset, data=data)
    assert wire.download_response(offset, data) == message.SerializeToString()
