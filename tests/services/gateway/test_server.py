"""The process around the services: health, preflight, drain, what it is told by its environment."""

import asyncio
import json
import logging

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sparring.v1 import catalog_pb2, jobs_pb2

from services.connection import connect_async
from services.environment import SettingsError
from services.gateway import server
from services.gateway.health import LIVE
from services.gateway.options import Options
from services.gateway.preflight import REQUIRED, UnsafeRedisError, check_redis
from services.gateway.server import Gateway
from services.local.valkey import start
from services.settings import GatewaySettings, StoreSettings
from services.telemetry.logs import JsonFormatter

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def status(channel, service=""):
    request = health_pb2.HealthCheckRequest(service=service)
    return (await health_pb2_grpc.HealthStub(channel).Check(request)).status


@pytest.fixture
def becomes(until):
    """Wait until the health of a gateway is what is wanted."""

    async def wait(channel, wanted, service=""):
        async def check():
            return await status(channel, service) == wanted

        await until(check)

    return wait


async def test_every_service_is_serving(stubs):
    assert len(server.SERVICES) == 7
    for service in ("", *server.SERVICES):
        assert await status(stubs.channel, service) == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await status(stubs.channel, "sparring.v1.Nothing")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.fixture
def own_valkey(fast_folder, tmp_path):
    """A store that the test may kill and start again on the same port."""
    folder = fast_folder / tmp_path.name
    running = [start(folder)]

    def again():
        running.append(start(folder, port=running[0].port))

    yield running[0], again
    for one in running:
        one.stop()


async def test_health_follows_the_store_down_and_up(own_valkey, refusal, becomes):
    valkey, again = own_valkey
    settings = StoreSettings(valkey.url)
    gateway = Gateway(GatewaySettings(settings, listen="127.0.0.1:0"), Options(drain_s=0))
    async with grpc.aio.insecure_channel(await gateway.start()) as channel:
        jobs = server.jobs_pb2_grpc.JobServiceStub(channel)
        assert await status(channel) == SERVING
        valkey.kill()
        await becomes(channel, NOT_SERVING, "sparring.v1.JobService")
        assert await status(channel, LIVE) == SERVING
        found = await refusal(jobs.ListJobs(jobs_pb2.ListJobsRequest()))
        assert (found.code, found.reason, found.retry) == ("UNAVAILABLE", "STORE_UNAVAILABLE", True)
        await asyncio.to_thread(again)
        await becomes(channel, SERVING)
        await jobs.ListJobs(jobs_pb2.ListJobsRequest())
    await gateway.stop()


async def test_a_gateway_waits_for_a_store_that_is_not_there_yet(own_valkey, becomes):
    valkey, again = own_valkey
    valkey.kill()
    gateway = Gateway(GatewaySettings(StoreSettings(valkey.url), listen="127.0.0.1:0"), Options(drain_s=0))
    async with grpc.aio.insecure_channel(await gateway.start()) as channel:
        assert await status(channel) == NOT_SERVING
        await asyncio.to_thread(again)
        await becomes(channel, SERVING)
    await gateway.stop()


async def test_lost_functions_are_loaded_again(stubs, redis, refusal, until):
    redis.function_flush()

    async def answers():
        return (await refusal(stubs.jobs.ListJobs(jobs_pb2.ListJobsRequest()))).code == "OK"

    await until(answers)


async def test_a_store_that_takes_no_writes_is_not_served(stubs, redis, becomes):
    redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        await becomes(stubs.channel, NOT_SERVING)
    finally:
        redis.execute_command("REPLICAOF", "NO", "ONE")
    await becomes(stubs.channel, SERVING)


@pytest.mark.parametrize(
    ("name", "unsafe"), [("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru"), ("appendonly", "no")]
)
async def test_a_store_that_would_lose_data_is_refused(redis, store_settings, name, unsafe, caplog):
    redis.config_set(name, unsafe)
    try:
        gateway = Gateway(GatewaySettings(store_settings, listen="127.0.0.1:0"), Options())
        with pytest.raises(UnsafeRedisError, match=f"{name} is {unsafe}, must be {REQUIRED[name]}"):
            await gateway.start()
        async with connect_async(store_settings) as client:
            await check_redis(client, allow_unsafe=True)
        assert f"{name} is {unsafe}" in caplog.text
    finally:
        redis.config_set(name, REQUIRED[name])


async def test_what_config_does_not_tell_info_does(redis, redis_url, caplog):
    redis.acl_setuser("limited", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-config"], reset=True)
    limited = StoreSettings(redis_url.replace("redis://", "redis://limited:pw@"))
    try:
        async with connect_async(limited) as client:
            await check_redis(client)
            assert "does not tell its appendfsync" in caplog.text
            redis.config_set("maxmemory-policy", "allkeys-lru")
            with pytest.raises(UnsafeRedisError, match="maxmemory-policy"):
                await check_redis(client)
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.acl_deluser("limited")


async def test_a_drain_says_so_and_ends_watches(job_store, store_settings, attack, becomes):
    gateway = Gateway(GatewaySettings(store_settings, listen="127.0.0.1:0"), Options(drain_s=0.5))
    async with grpc.aio.insecure_channel(await gateway.start()) as channel:
        jobs = server.jobs_pb2_grpc.JobServiceStub(channel)
        job = await jobs.CreateJob(attack)
        watch = jobs.WatchJob(jobs_pb2.WatchJobRequest(name=job.name))
        assert (await watch.read()).event_id == 1
        stopping = asyncio.create_task(gateway.stop())
        await becomes(channel, NOT_SERVING)
        assert await watch.read() == grpc.aio.EOF
        assert await watch.code() == grpc.StatusCode.OK
        await stopping
    assert not [task for task in asyncio.all_tasks() if "services" in repr(task.get_coro())]


async def test_the_catalog_tells_what_the_server_can_do(stubs, worker):
    worker.listen(unit="j1/4")
    info = await stubs.catalog.GetServerInfo(catalog_pb2.GetServerInfoRequest())
    assert (info.max_samples, info.max_artifact_bytes, info.ready_units) == (5000, 2 << 30, 0)
    assert info.version
    worker.listen(unit="j2/0", tenant="another")
    (busy,) = (await stubs.catalog.GetServerInfo(catalog_pb2.GetServerInfoRequest())).workers
    assert (busy.id, busy.unit) == ("w1", ""), "what a worker does for others is not told"
    found = info.workers[0]
    assert (found.id, found.device, found.device_name, found.unit) == ("w1", "cpu", "a CPU", "jobs/j1/units/4")
    assert 0 <= found.last_seen_s < 5
    assert dict(found.versions) == {"torch": "2.13.0"}
    attacks = (await stubs.catalog.ListAttacks(catalog_pb2.ListAttacksRequest())).attacks
    assert [attack.name for attack in attacks][:4] == ["fgsm", "bim", "iterative_least_likely", "pgd"]
    said = {attack.name: (attack.knowledge, attack.minimum, attack.needs_target) for attack in attacks}
    assert said["pgd"] == ("gradients", False, False)
    assert said["boundary"] == ("labels", True, False)
    assert said["fooling_cppn"] == ("scores", False, True)
    defenses = (await stubs.catalog.ListDefenses(catalog_pb2.ListDefensesRequest())).defenses
    assert [defense.name for defense in defenses][:2] == ["standard", "fgsm_adversarial"]
    architectures = (await stubs.catalog.ListArchitectures(catalog_pb2.ListArchitecturesRequest())).architectures
    assert len(architectures) == 97
    built_in = (await stubs.catalog.ListBuiltInDatasets(catalog_pb2.ListBuiltInDatasetsRequest())).datasets
    assert [dataset.name for dataset in built_in] == ["datasets/mnist10k", "datasets/digits", "datasets/imagenet20"]
    for dataset in built_in:
        assert all(sum(split.class_counts) == split.count for split in dataset.splits)


def test_the_environment_is_read_whole():
    assert Options.from_env({}) == Options()
    assert Options.from_env({"SPARRING_DRAIN_S": " 0.5 ", "SPARRING_ALLOW_UNSAFE_REDIS": ""}).drain_s == 0.5
    environ = {"SPARRING_DRAIN_S": "-1", "SPARRING_ALLOW_UNSAFE_REDIS": "yes"}
    with pytest.raises(SettingsError) as caught:
        Options.from_env(environ)
    for name in environ:
        assert name in str(caught.value)


def test_logs_for_machines_are_one_object_a_line():
    error = ValueError("no")
    record = logging.LogRecord("a.b", logging.ERROR, "f", 1, "bad %s\nthing", ("é",), (ValueError, error, None))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line).items() >= {"level": "ERROR", "logger": "a.b", "message": "bad é\nthing"}.items()
    assert "ValueError: no" in json.loads(line)["traceback"]


async def test_a_port_that_is_taken_is_said_plainly(gateway, store_settings):
    second = Gateway(GatewaySettings(store_settings, listen=gateway), Options())
    with pytest.raises(SettingsError, match="can't listen there"):
        await second.start()
