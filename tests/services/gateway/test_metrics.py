"""What a gateway counts: every metric of it moves when the thing happens, and no label holds what a client chose."""

import asyncio
import time
import urllib.request
from contextlib import aclosing
from types import SimpleNamespace

import grpc
import pytest
from prometheus_client import generate_latest
from sparring.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
)

from services.artifacts.digest import sha256_hex
from services.connection import connect_async
from services.environment import SettingsError
from services.gateway.audit import QUEUED, Auditor, Call
from services.gateway.identity import Identity
from services.gateway.options import Options
from services.gateway.server import Gateway
from services.gateway.watch import Streams
from services.jobs.record import NewJob
from services.jobs.watch import Watcher
from services.settings import GatewaySettings
from services.telemetry.metrics import GATEWAY
from services.telemetry.metrics_gateway import GatewayMetrics
from services.tenants.table import Role

LISTEN = "127.0.0.1:0"


@pytest.fixture
async def gateway(job_store, store_settings):
    """A gateway with metrics, in place of the one that the other tests take."""
    running = Gateway(GatewaySettings(store_settings, listen=LISTEN, metrics_listen=LISTEN), Options(drain_s=0))
    running.target = await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def stubs(gateway):
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        yield SimpleNamespace(
            channel=channel,
            jobs=jobs_pb2_grpc.JobServiceStub(channel),
            artifacts=artifacts_pb2_grpc.ArtifactServiceStub(channel),
            catalog=catalog_pb2_grpc.CatalogServiceStub(channel),
        )


@pytest.fixture
def told(gateway):
    """A sample as /metrics has it, by its whole name; 0 where there is none."""

    async def ask(sample):
        def get():
            with urllib.request.urlopen(f"http://{gateway.metrics_address}/metrics", timeout=30) as answer:
                return answer.read().decode()

        rows = [row.rpartition(" ") for row in (await asyncio.to_thread(get)).splitlines()]
        return float({name: number for name, _, number in rows}.get(sample, 0))

    return ask


async def test_calls_are_counted_by_method_and_code_and_timed(stubs, told, refusal):
    await stubs.catalog.GetServerInfo(catalog_pb2.GetServerInfoRequest())
    await refusal(stubs.jobs.GetJob(jobs_pb2.GetJobRequest(name="jobs/none")))
    assert await told('sparring_gateway_requests_total{code="OK",method="CatalogService.GetServerInfo"}') == 1
    assert await told('sparring_gateway_requests_total{code="NOT_FOUND",method="JobService.GetJob"}') == 1
    assert await told('sparring_gateway_request_seconds_count{method="JobService.GetJob"}') == 1
    assert await told("sparring_gateway_requests_in_flight") == 0
    assert await told("sparring_gateway_received_bytes_total") == len("jobs/none") + 2


async def test_a_method_that_is_not_there_is_one_label_whatever_it_is_called(stubs, gateway, refusal, told):
    for name in ("/sparring.v1.JobService/Secret", "/x/" + "y" * 500):
        await refusal(stubs.channel.unary_unary(name)(b""))
    assert await told('sparring_gateway_requests_total{code="UNIMPLEMENTED",method="unknown"}') == 2
    page = generate_latest(gateway._metrics.registry).decode()
    assert "Secret" not in page
    assert "yyy" not in page


async def test_streams_events_and_bytes_are_counted(stubs, told, attack, until):
    job = await stubs.jobs.CreateJob(attack)
    watching = stubs.jobs.WatchJob(jobs_pb2.WatchJobRequest(name=job.name))
    await watching.read()
    assert await told('sparring_gateway_streams_open{method="JobService.WatchJob"}') == 1
    assert await told("sparring_gateway_events_total") >= 1
    assert await told('sparring_gateway_stream_messages_total{method="JobService.WatchJob"}') >= 1
    watching.cancel()

    async def closed():
        return await told('sparring_gateway_streams_open{method="JobService.WatchJob"}') == 0

    await until(closed)
    assert await told('sparring_gateway_requests_total{code="CANCELLED",method="JobService.WatchJob"}') == 1


async def test_artifacts_are_counted_in_bytes_both_ways(stubs, told):
    content = bytes(300_000)
    sha256 = sha256_hex(content)
    request = artifacts_pb2.BeginUploadRequest(sha256=sha256, size_bytes=len(content))
    begun = await stubs.artifacts.BeginUpload(request)
    before = await told("sparring_gateway_received_bytes_total")
    chunk = artifacts_pb2.UploadArtifactRequest(upload_id=begun.upload_id, data=content)
    await stubs.artifacts.UploadArtifact(iter([chunk]))
    assert await told("sparring_gateway_received_bytes_total") - before >= len(content)
    async for _ in stubs.artifacts.DownloadArtifact(artifacts_pb2.DownloadArtifactRequest(name=f"artifacts/{sha256}")):
        pass
    assert len(content) <= await told("sparring_gateway_sent_bytes_total") < len(content) + 100


async def test_a_loop_that_is_held_up_is_seen(gateway, told, until):
    async def looked():
        return await told("sparring_gateway_loop_lag_seconds_count") >= 1

    await until(looked)
    metrics = GatewayMetrics()
    watching = asyncio.create_task(metrics.watch_loop())
    await asyncio.sleep(0)
    await asyncio.sleep(0.4)
    time.sleep(0.4)  # noqa: ASYNC251 - this is what holds it up
    await asyncio.sleep(0.05)
    watching.cancel()
    lagging = metrics.registry.get_sample_value("sparring_gateway_loop_lag_seconds_sum")
    assert lagging > 0.2


async def test_the_audit_log_is_counted_what_waits_what_is_dropped_and_who_is_unknown():
    metrics = GatewayMetrics()
    auditor = Auditor(metrics)
    who = Identity(tenant="t", key="k", role=Role.ADMIN)
    for _ in range(QUEUED + 2):
        auditor.note(Call(rpc="JobService.CancelJob", peer="p", identity=who))
    auditor.note(Call(rpc="JobService.CancelJob", peer="p"))
    of = metrics.registry.get_sample_value
    assert of("sparring_gateway_audit_entries_total") == of("sparring_gateway_audit_waiting") == QUEUED
    assert of("sparring_gateway_audit_dropped_total") == 2
    assert of("sparring_gateway_refused_strangers_total") == 1


async def test_the_registry_has_the_metrics_of_the_table_and_the_process(gateway):
    page = generate_latest(gateway._metrics.registry).decode()
    for name in GATEWAY:
        assert f"# TYPE {name} " in page
    assert "process_resident_memory_bytes " in page


async def test_a_port_that_is_taken_keeps_the_gateway_from_starting(gateway, store_settings):
    again = Gateway(
        GatewaySettings(store_settings, listen=LISTEN, metrics_listen=gateway.metrics_address), Options(drain_s=0)
    )
    with pytest.raises(SettingsError, match="SPARRING_METRICS_LISTEN"):
        await again.start()


async def test_only_events_are_counted_as_sent_and_not_the_heartbeats(async_job_store, job_store, store_settings):
    job_store.submit(NewJob(id="j", kind="attack", spec=b"", spec_hash="j", units=1))
    counted, seen = [], 0
    async with connect_async(store_settings, blocking=True) as blocking:
        watcher = Watcher(blocking)
        streams = Streams(async_job_store, watcher, heartbeat_s=0.05, sent=lambda: counted.append(1))
        async with aclosing(streams.watch("default", "j", 0)) as messages:
            async for _ in messages:
                seen += 1
                if seen == 3:
                    break
        await watcher.aclose()
    assert len(counted) == 1
