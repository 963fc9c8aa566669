"""Streams are bounded: so many for each tenant, none that stands still for long, none that outruns its reader."""

import asyncio
import hashlib

import grpc
import pytest
from sparring.v1 import artifacts_pb2 as a
from sparring.v1 import datasets_pb2, jobs_pb2

from services.gateway import interceptor, open_streams

WATCH = "/sparring.v1.JobService/WatchJob"
UPLOAD = "/sparring.v1.ArtifactService/UploadArtifact"
DOWNLOAD = "/sparring.v1.ArtifactService/DownloadArtifact"


@pytest.fixture
async def address(start, tenants_file):
    """A gateway that allows a tenant twelve streams, three of them for bytes."""
    return await start(tenants_file=str(tenants_file.path), max_streams=12)


@pytest.fixture
def watched(client, methods):
    """Start to watch a new job of a tenant; returns the call once its first event has come."""

    async def begin(tenant):
        data = datasets_pb2.DataSelection(dataset="mnist10k", count=10)
        spec = jobs_pb2.TrainingSpec(architecture="wong_cnn", data=data, evaluation_data=data)
        request = jobs_pb2.CreateJobRequest(training=spec)
        (job,) = (await client(tenant).call(methods["/sparring.v1.JobService/CreateJob"], request)).messages
        call = client(tenant).start(methods[WATCH], jobs_pb2.WatchJobRequest(name=job.name))
        await call.read()
        return call, job.name

    return begin


async def test_a_tenant_has_so_many_streams_and_another_its_own(client, methods, watched, until):
    calls = [await watched("alpha") for _ in range(12)]
    request = jobs_pb2.WatchJobRequest(name=calls[0][1])
    found = await client("alpha").call(methods[WATCH], request)
    assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS")
    assert found.details["RetryInfo"].retry_delay.ToMilliseconds() > 0
    assert (await client("alpha").call(methods["/sparring.v1.JobService/ListJobs"], b"")).code == "OK"
    other, _ = await watched("beta")
    other.cancel()
    for call, _ in calls:
        call.cancel()

    async def free():
        return (await client("alpha").call(methods[WATCH], request, most=1)).code == "OK"

    await until(free, 5)


async def begun(client, methods, data):
    request = a.BeginUploadRequest(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    (answer,) = (await client.call(methods["/sparring.v1.ArtifactService/BeginUpload"], request)).messages
    return answer.upload_id


async def test_an_upload_that_stands_still_ends_and_keeps_what_came(client, methods, monkeypatch):
    monkeypatch.setattr(open_streams, "IDLE_S", 0.3)
    alpha, data = client("alpha"), bytes(range(256)) * 8192
    upload_id = await begun(alpha, methods, data)
    call = alpha.channel.stream_unary(UPLOAD)(metadata=alpha.metadata)
    await call.write(a.UploadArtifactRequest(upload_id=upload_id, data=data[: 1 << 20]).SerializeToString())
    assert await call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "go on from there" in await call.details()
    query = methods["/sparring.v1.ArtifactService/QueryUpload"]
    (state,) = (await alpha.call(query, a.QueryUploadRequest(upload_id=upload_id))).messages
    assert state.committed_bytes == 1 << 20
    rest = a.UploadArtifactRequest(upload_id=upload_id, offset=1 << 20, data=data[1 << 20 :])
    assert (await alpha.call(methods[UPLOAD], rest)).messages[0].artifact.size_bytes == len(data)


async def test_a_stream_that_never_says_anything_ends(client, methods, monkeypatch):
    monkeypatch.setattr(open_streams, "IDLE_S", 0.2)
    alpha = client("alpha")
    for path in (UPLOAD, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"):
        call = alpha.channel.stream_stream(path)(metadata=alpha.metadata)
        assert await call.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_watch_is_not_held_to_that(client, methods, watched, monkeypatch):
    monkeypatch.setattr(open_streams, "IDLE_S", 0.2)
    call, name = await watched("alpha")
    await asyncio.sleep(0.6)
    assert not call.done()
    await client("alpha").call(methods["/sparring.v1.JobService/CancelJob"], jobs_pb2.CancelJobRequest(name=name))
    rest = [message async for message in _rest(call)]
    assert rest[-1].state_change.state == jobs_pb2.Job.STATE_CANCELLED


async def _rest(call):
    while (message := await call.read()) is not grpc.aio.EOF:
        yield message


async def test_a_reader_that_stops_is_waited_for_and_then_let_go(client, methods, artifact_store, monkeypatch, until):
    monkeypatch.setattr(open_streams, "IDLE_S", 0.5)
    monkeypatch.setattr(interceptor, "ABORT_S", 0.5)
    sha = artifact_store.put("alpha", bytes(64 << 20))
    request = a.DownloadArtifactRequest(name=f"artifacts/{sha}")
    alpha = client("alpha")
    stuck = [alpha.start(methods[DOWNLOAD], request) for _ in range(3)]
    for call in stuck:
        await call.read()
    refused = await alpha.call(methods[DOWNLOAD], request, most=1)
    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS")
    assert "3 uploads and downloads" in refused.text

    async def free():
        return (await alpha.call(methods[DOWNLOAD], request, most=1)).code == "OK"

    await until(free, 10)
    for call in stuck:
        call.cancel()


async def test_a_slow_reader_gets_every_byte(client, methods, artifact_store):
    data = bytes(range(256)) * (4 << 12)
    sha = artifact_store.put("alpha", data)
    call = client("alpha").start(methods[DOWNLOAD], a.DownloadArtifactRequest(name=f"artifacts/{sha}"))
    got = b""
    async for message in _rest(call):
        got += message.data
        await asyncio.sleep(0.05)
    assert got == data
