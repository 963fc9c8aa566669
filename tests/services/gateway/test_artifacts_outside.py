"""A gateway whose artifacts are kept elsewhere: it serves while they can be had, and says why not otherwise."""

import dataclasses
import hashlib

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sparring.v1 import artifacts_pb2, artifacts_pb2_grpc

from services.artifacts import care
from services.artifacts.outside import redis_of
from services.connection import connect
from services.gateway.options import Options
from services.gateway.preflight import UnsafeRedisError
from services.gateway.server import Gateway
from services.local.valkey import start
from services.settings import BytesSettings, GatewaySettings

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
DATA = b"outside" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


async def upload(stub):
    begun = await stub.BeginUpload(artifacts_pb2.BeginUploadRequest(sha256=DIGEST, size_bytes=len(DATA)))

    async def messages():
        yield artifacts_pb2.UploadArtifactRequest(upload_id=begun.upload_id, data=DATA)

    return await stub.UploadArtifact(messages())


async def test_it_serves_while_the_place_is_there(  # noqa: PLR0917 - each is a fixture
    store_settings, job_store, tmp_path, refusal, until, caplog, monkeypatch
):
    monkeypatch.setattr(care, "TRUSTED_S", 0.0)
    folder = tmp_path / "artifacts"
    settings = dataclasses.replace(store_settings, artifacts=BytesSettings(url=f"file://{folder}"))
    gateway = Gateway(GatewaySettings(settings, listen="127.0.0.1:0"), Options(drain_s=0))
    async with grpc.aio.insecure_channel(await gateway.start()) as channel:
        health, stub = health_pb2_grpc.HealthStub(channel), artifacts_pb2_grpc.ArtifactServiceStub(channel)

        async def becomes(wanted):
            async def check():
                return (await health.Check(health_pb2.HealthCheckRequest())).status == wanted

            await until(check)

        assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
        assert "make it or mount it" in caplog.text
        begin = artifacts_pb2.BeginUploadRequest(sha256=DIGEST, size_bytes=len(DATA))
        found = await refusal(stub.BeginUpload(begin))
        assert (found.code, found.retry) == ("UNAVAILABLE", True)
        assert "make it or mount it" in found.message
        folder.mkdir()
        await becomes(SERVING)
        assert (await upload(stub)).artifact.name == f"artifacts/{DIGEST}"
        folder.rename(tmp_path / "away")
        folder.mkdir()
        await becomes(NOT_SERVING)
        assert "is empty, but this deployment has a store of artifacts" in caplog.text
        folder.rmdir()
        (tmp_path / "away").rename(folder)
        await becomes(SERVING)
        call = stub.DownloadArtifact(artifacts_pb2.DownloadArtifactRequest(name=f"artifacts/{DIGEST}"))
        assert b"".join([message.data async for message in call]) == DATA
    await gateway.stop()


@pytest.mark.parametrize("unsafe", ["no", "everysec"])
async def test_a_second_redis_that_would_lose_bytes_is_refused(
    store_settings, job_store, fast_folder, tmp_path, unsafe
):
    with start(fast_folder / tmp_path.name) as second, connect(redis_of(BytesSettings(url=second.url))) as redis:
        redis.config_set("appendfsync", unsafe)
        settings = dataclasses.replace(store_settings, artifacts=BytesSettings(url=second.url))
        gateway = Gateway(GatewaySettings(settings, listen="127.0.0.1:0"), Options(drain_s=0))
        told = f"the Redis of the artifacts would lose data: appendfsync is {unsafe}"
        with pytest.raises(UnsafeRedisError, match=told):  # noqa: PT012 - one that does start has to end
            await gateway.start()
            await gateway.stop()
