"""A tenants file that changes while the gateway runs: keys come and go at once, and their streams with them."""

import asyncio
import hashlib
import time

import grpc
import pytest
from sparring.v1 import artifacts_pb2 as a
from sparring.v1 import datasets_pb2, jobs_pb2, tenants_pb2

# A gateway looks once a second; streams end by the same clock.
SOON_S = 4.0
WATCH = "/sparring.v1.JobService/WatchJob"
LIST = "/sparring.v1.JobService/ListJobs"
DOWNLOAD = "/sparring.v1.ArtifactService/DownloadArtifact"
UPLOAD = "/sparring.v1.ArtifactService/UploadArtifact"


def training():
    data = datasets_pb2.DataSelection(dataset="mnist10k", count=10)
    spec = jobs_pb2.TrainingSpec(architecture="wong_cnn", data=data, evaluation_data=data)
    return jobs_pb2.CreateJobRequest(training=spec)


@pytest.fixture
def becomes(methods, until):
    """Wait until a client gets a certain answer."""

    async def wait(client, code, reason=""):
        async def check():
            found = await client.call(methods[LIST], b"")
            return (found.code, found.reason) == (code, reason)

        await until(check, SOON_S)

    return wait


async def test_a_new_key_is_good_and_a_revoked_one_is_not_within_seconds(client, tenants_file, becomes):
    old = client("alpha", "admin")
    text = tenants_file.add("alpha", "read", "second")
    tenants_file.tables["alpha"]["keys"] = [k for k in tenants_file.tables["alpha"]["keys"] if k["id"] != "admin"]
    tenants_file.write()
    await becomes(client(key=text), "OK")
    await becomes(old, "UNAUTHENTICATED", "KEY_UNKNOWN")


async def test_a_removed_tenants_keys_are_not_known(client, tenants_file, becomes):
    del tenants_file.tables["beta"]
    tenants_file.write()
    await becomes(client("beta"), "UNAUTHENTICATED", "KEY_UNKNOWN")
    await becomes(client("alpha"), "OK")


async def test_a_broken_file_changes_nothing_and_is_logged(client, tenants_file, becomes, until, caplog):
    good = tenants_file.path.read_text()
    for broken in ("[tenants.alpha", "", "[tenants.alpha]\nmax_queued_jobs = -1\n"):
        caplog.clear()
        tenants_file.path.write_text(broken)

        async def logged():
            return "what was read before stays in force" in caplog.text

        await until(logged, SOON_S)
        await becomes(client("alpha"), "OK")
    del tenants_file.tables["beta"]
    tenants_file.write()
    assert tenants_file.path.read_text() != good
    await becomes(client("beta"), "UNAUTHENTICATED", "KEY_UNKNOWN")


async def test_an_expired_key_says_so(client, tenants_file, becomes):
    text = tenants_file.add("alpha", "read", "short", expires="2020-01-01T00:00:00Z")
    tenants_file.write()
    await becomes(client(key=text), "UNAUTHENTICATED", "KEY_EXPIRED")


@pytest.fixture
def streams(methods, artifact_store):
    """Open streams of a client: one that waits for events, one that sends nothing, one that reads nothing."""

    async def start(client):
        (job,) = (await client.call(methods["/sparring.v1.JobService/CreateJob"], training())).messages
        watch = client.start(methods[WATCH], jobs_pb2.WatchJobRequest(name=job.name))
        assert (await watch.read()).event_id == 1
        begin = a.BeginUploadRequest(sha256=hashlib.sha256(b"ab").hexdigest(), size_bytes=2)
        (begun,) = (await client.call(methods["/sparring.v1.ArtifactService/BeginUpload"], begin)).messages
        upload = client.channel.stream_unary(UPLOAD)(metadata=client.metadata)
        await upload.write(a.UploadArtifactRequest(upload_id=begun.upload_id, data=b"a").SerializeToString())
        sha = artifact_store.put("alpha", bytes(64 << 20))
        download = client.start(methods[DOWNLOAD], a.DownloadArtifactRequest(name=f"artifacts/{sha}"))
        assert (await download.read()).data
        return watch, upload, download

    return start


async def drained(call):
    while (message := await call.read()) is not grpc.aio.EOF:
        assert message.data


@pytest.mark.parametrize("end", ["revoked", "expired", "demoted"])
async def test_streams_of_a_key_that_ends_meanwhile_end(client, tenants_file, becomes, streams, end):
    expires = {"expires": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))} if end == "expired" else {}
    mine = client(key=tenants_file.add("alpha", "submit", "brief", **expires))
    tenants_file.write()
    await becomes(mine, "OK")
    watch, upload, download = await streams(mine)
    spared, *_ = await streams(client("alpha", "submit"))

    if end != "expired":
        *others, brief = tenants_file.tables["alpha"]["keys"]
        tenants_file.tables["alpha"]["keys"] = others + ([brief | {"role": '"read"'}] if end == "demoted" else [])
        tenants_file.write()
    async with asyncio.timeout(10 if end == "expired" else SOON_S):
        assert [(await call.code()).name for call in (watch, upload)] == ["UNAUTHENTICATED"] * 2
    # What was on its way to the reader is still there, and then the same end.
    with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
        await drained(download)
    assert not spared.done(), "streams of other keys go on"
    spared.cancel()


async def test_quotas_reach_the_store_and_follow_the_file(client, tenants_file, methods, job_store, until):
    tenants_file.tables["alpha"] |= {"max_queued_jobs": 1, "weight": 2.5}
    tenants_file.write()

    async def written():
        return job_store.quota("alpha").max_queued_jobs == 1

    await until(written, SOON_S)
    get = methods["/sparring.v1.TenantService/GetTenant"]
    (tenant,) = (await client("alpha").call(get, tenants_pb2.GetTenantRequest())).messages
    assert (tenant.quota.max_queued_jobs, tenant.weight) == (1, 2.5)
    create = methods["/sparring.v1.JobService/CreateJob"]
    assert (await client("alpha").call(create, training())).code == "OK"
    found = await client("alpha").call(create, training())
    assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
    assert found.details["QuotaFailure"].violations[0].subject == "tenants/alpha"
    assert dict(found.details["ErrorInfo"].metadata) == {"quota": "max_queued_jobs"}
    assert found.details["RetryInfo"].retry_delay.ToMilliseconds() > 0
    assert (await client("beta").call(create, training())).code == "OK", "another tenant's quota is its own"
    (tenant,) = (await client("alpha").call(get, tenants_pb2.GetTenantRequest())).messages
    assert (tenant.usage.queued_jobs, tenant.usage.giga_ops > 0) == (1, True)
    assert tenant.role == tenants_pb2.ROLE_ADMIN
