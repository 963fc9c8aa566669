"""Beyond this machine the gateway listens with TLS and keys only, unless it is told otherwise."""

import os
import socket
import subprocess
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sparring.v1 import tenants_pb2, tenants_pb2_grpc

from services.environment import SettingsError
from services.gateway.exposure import check_exposure, is_local
from services.settings import GatewaySettings, StoreSettings, TlsFiles

TLS = TlsFiles(cert="c", key="k")


def settings(listen, **more):
    return GatewaySettings(StoreSettings(), listen=listen, **more)


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "unix:/run/s.sock", "unix:s.sock"]
)
def test_on_this_machine_anything_goes(listen):
    assert is_local(listen)
    check_exposure(settings(listen))


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "0:1", "192.168.1.20:1", "10.0.0.1:1", "[2001:db8::1]:1"])
def test_beyond_it_tls_and_keys_are_asked_for(listen, caplog):
    assert not is_local(listen)
    for more in ({}, {"tls": TLS}, {"tenants_file": "t"}):
        with pytest.raises(SettingsError, match="--insecure") as caught:
            check_exposure(settings(listen, **more))
        assert ("SPARRING_TLS_CERT_FILE" in str(caught.value)) is ("tls" not in more)
        assert ("SPARRING_TENANTS_FILE" in str(caught.value)) is ("tenants_file" not in more)
    check_exposure(settings(listen, tls=TLS, tenants_file="t"))
    assert "whoever reaches it" not in caplog.text
    check_exposure(settings(listen, insecure=True))
    assert "whoever reaches it" in caplog.text


def test_a_name_is_looked_up(monkeypatch):
    def answers(*addresses):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    answers("127.0.0.1")
    assert is_local("here:1")
    answers("127.0.0.1", "10.1.1.1")
    assert not is_local("here:1"), "one address is enough"


def test_a_name_of_nothing_is_refused(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(SettingsError, match="nowhere"):
        is_local("nowhere:1")


async def test_a_tenants_file_that_is_wrong_is_refused_at_the_start(start, tmp_path):
    (tmp_path / "tenants.toml").write_text("[tenants.t]\nweight = 0\n")
    for name, told in (("tenants.toml", r"tenants\.t\.weight: must be above 0"), ("nowhere", "No such file")):
        with pytest.raises(SettingsError, match=f"SPARRING_TENANTS_FILE=.*{told}"):
            await start(tenants_file=str(tmp_path / name))


async def test_the_gateway_itself_refuses(start):
    with pytest.raises(SettingsError, match="can be reached from other machines"):
        await start(listen="0.0.0.0:0")


async def test_told_to_it_listens_everywhere_and_everybody_is_the_default_tenant(start):
    address = await start(listen="0.0.0.0:0", insecure=True)
    async with grpc.aio.insecure_channel(address.replace("0.0.0.0", "127.0.0.1")) as channel:
        stub = tenants_pb2_grpc.TenantServiceStub(channel)
        tenant = await stub.GetTenant(tenants_pb2.GetTenantRequest())
    assert (tenant.name, tenant.key, tenant.role) == ("tenants/default", "", tenants_pb2.ROLE_ADMIN)


async def test_told_to_it_still_asks_for_the_keys_of_a_tenants_file(start, tenants_file):
    address = await start(listen="0.0.0.0:0", insecure=True, tenants_file=str(tenants_file.path))
    async with grpc.aio.insecure_channel(address.replace("0.0.0.0", "127.0.0.1")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await tenants_pb2_grpc.TenantServiceStub(channel).GetTenant(tenants_pb2.GetTenantRequest())
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_a_socket_of_this_machine_is_listened_on(start, tmp_path):
    address = await start(listen=f"unix:{tmp_path}/s")
    assert address == f"unix:{tmp_path}/s"
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def process(redis_url):
    """Start the gateway as a process that listens everywhere, with some arguments."""
    started = []

    def start(*arguments):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SPARRING_")}
        more = {"SPARRING_REDIS_URL": redis_url, "SPARRING_LISTEN": "0.0.0.0:0", "SPARRING_DRAIN_S": "0"}
        command = [sys.executable, "-m", "services.gateway", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=kept | more, **pipes))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def test_the_process_says_what_to_do_and_ends(process):
    refused = process()
    _, told = refused.communicate(timeout=60)
    assert refused.returncode == 2
    assert "--insecure" in told
    assert "Traceback" not in told


def test_the_process_can_be_told_to_listen_all_the_same(process, job_store):
    assert process("--insecure").stdout.readline().startswith("listening on 0.0.0.0:")
