"""Nobody gets in without a key, and no key may do more than its role: every RPC that the running server has."""

import socket

import grpc
import pytest
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sparring.v1 import tenants_pb2, tenants_pb2_grpc

from services.gateway import access
from services.gateway.server import SERVICES

# What the contract says, written down a second time; see tenants.proto, Role.
READ = {
    "GetJob",
    "ListJobs",
    "WatchJob",
    "GetModel",
    "ListModels",
    "GetDataset",
    "ListDatasets",
    "DownloadArtifact",
    "GetArtifact",
    "GetServerInfo",
    "ListAttacks",
    "ListDefenses",
    "ListPoisons",
    "ListArchitectures",
    "ListBuiltInDatasets",
    "GetTenant",
    "PreviewAttack",
    "ListSamples",
    "ServerReflectionInfo",
}
ADMIN = {"ListAuditEntries"}
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def guarded(methods):
    return {path: method for path, method in methods.items() if not path.startswith("/grpc.health.v1.Health/")}


def empty(method):
    return message_factory.GetMessageClass(method.input_type)()


async def test_the_server_tells_of_every_service_of_the_contract(methods):
    services = {path.split("/")[1] for path in methods}
    assert services == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert len(guarded(methods)) == 32


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ((), "KEY_MISSING"),
        ((("authorization", ""),), "KEY_MISSING"),
        ((("authorization", "Basic dTpw"),), "KEY_MISSING"),
        ((("authorization", "Bearer "),), "KEY_MISSING"),
        ((("authorization", "Bearer spk_ci_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),), "KEY_UNKNOWN"),
        ((("authorization", "Bearer " + "x" * 10_000),), "KEY_UNKNOWN"),
    ],
)
async def test_without_a_known_key_every_rpc_is_unauthenticated(client, methods, header, reason):
    stranger = client()
    stranger.metadata = header
    for path, method in guarded(methods).items():
        for payload in (empty(method), b"\xff\xff\xff"):
            found = await stranger.call(method, payload)
            assert (found.code, found.reason, found.messages) == ("UNAUTHENTICATED", reason, []), path


async def test_two_keys_are_as_good_as_none(client, methods, tenants_file):
    both = client("alpha")
    both.metadata += client("beta").metadata
    found = await both.call(methods["/sparring.v1.JobService/ListJobs"], b"")
    assert (found.code, found.reason) == ("UNAUTHENTICATED", "KEY_MISSING")


async def test_whether_a_method_exists_is_told_to_callers_with_a_key_only(channel, client):
    for kind in KINDS:
        for path in (
            "/sparring.v1.JobService/NoSuchMethod",
            "/sparring.v1.NoSuchService/Get",
            "/x/y",
            "/grpc.health.v1",
        ):
            for metadata, code in (((), "UNAUTHENTICATED"), (client("alpha", "read").metadata, "UNIMPLEMENTED")):
                request = iter([b"x"]) if kind.startswith("stream") else b"x"
                call = getattr(channel, kind)(path)(request, metadata=metadata)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    _ = [part async for part in call] if kind.endswith("stream") else await call
                assert caught.value.code().name == code, (kind, path)


async def test_health_asks_for_no_key(channel):
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("role", ["read", "submit", "admin"])
async def test_a_role_may_call_what_the_contract_says_and_no_more(client, methods, role):
    caller = client("alpha", role)
    for path, method in guarded(methods).items():
        name = method.name
        least = "read" if name in READ else "admin" if name in ADMIN else "submit"
        allowed = ["read", "submit", "admin"].index(role) >= ["read", "submit", "admin"].index(least)
        found = await caller.call(method, empty(method))
        if allowed:
            assert found.code in {"OK", "INVALID_ARGUMENT"}, path
        else:
            assert (found.code, found.reason) == ("PERMISSION_DENIED", "ROLE_TOO_LOW"), path
            assert dict(found.details["ErrorInfo"].metadata) == {"role": role, "required": least}


async def test_a_refused_role_changes_nothing(client, methods, job_store, artifact_store):
    sha = artifact_store.put("alpha", b"precious")
    delete = methods["/sparring.v1.ArtifactService/DeleteArtifact"]
    request = message_factory.GetMessageClass(delete.input_type)(name=f"artifacts/{sha}")
    assert (await client("alpha", "read").call(delete, request)).code == "PERMISSION_DENIED"
    assert artifact_store.get("alpha", sha) == b"precious"
    assert (await client("alpha", "submit").call(delete, request)).code == "OK"


def test_a_method_without_a_row_keeps_the_gateway_from_starting():
    short = {path: rule for path, rule in access.TABLE.items() if not path.endswith("/RetryJob")}
    with pytest.raises(LookupError, match=r"no role is set for /sparring\.v1\.JobService/RetryJob"):
        access.check_table(SERVICES, short)
    access.check_table(SERVICES)


async def test_a_handler_without_a_row_is_not_served(channel, client, monkeypatch):
    monkeypatch.delitem(access.TABLE, "/sparring.v1.JobService/ListJobs")
    call = channel.unary_unary("/sparring.v1.JobService/ListJobs")(b"", metadata=client("alpha").metadata)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code().name == "UNIMPLEMENTED"


async def test_headers_of_more_than_16_kib_are_refused(channel):
    call = channel.unary_unary("/sparring.v1.JobService/ListJobs")(b"", metadata=(("authorization", "x" * 70_000),))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code().name == "RESOURCE_EXHAUSTED"


async def test_a_second_address_answers_health_to_anybody_and_nothing_else(start, tenants_file):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    await start(health_listen=address, tenants_file=str(tenants_file.path))
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await tenants_pb2_grpc.TenantServiceStub(channel).GetTenant(tenants_pb2.GetTenantRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
