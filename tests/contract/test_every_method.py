"""Every method of every service answers bad input with a rich status, found by reflection over the contract."""

import grpc
import pytest
import pytest_asyncio
from google.protobuf import message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from sparring.v1 import artifacts_pb2, catalog_pb2, datasets_pb2, jobs_pb2, models_pb2, preview_pb2, tenants_pb2

from services.gateway.options import Options
from services.gateway.server import SERVICES, Gateway
from services.settings import GatewaySettings

FILES = (artifacts_pb2, catalog_pb2, datasets_pb2, jobs_pb2, models_pb2, preview_pb2, tenants_pb2)
METHODS = [
    method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods_by_name.values()
]
# What an empty request is enough for.
NEEDS_NOTHING = {
    "ListJobs",
    "ListModels",
    "ListDatasets",
    "GetServerInfo",
    "ListAttacks",
    "ListDefenses",
    "ListPoisons",
    "ListArchitectures",
    "ListBuiltInDatasets",
    "GetTenant",
    "ListAuditEntries",
}
NOT_A_MESSAGE = b"\xff\xff\xff"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(store_settings):
    """One gateway for all of them: none changes anything."""
    gateway = Gateway(GatewaySettings(store_settings, listen="127.0.0.1:0"), Options(drain_s=0))
    async with grpc.aio.insecure_channel(await gateway.start()) as opened:
        yield opened
    await gateway.stop()


async def call(channel, method, payload: bytes):
    """Call a method with raw bytes; return the raw answers."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    kind = ("stream" if method.client_streaming else "unary") + "_" + ("stream" if method.server_streaming else "unary")
    request = iter([payload]) if method.client_streaming else payload
    answer = getattr(channel, kind)(path)(request)
    return [raw async for raw in answer] if method.server_streaming else [await answer]


async def refused(channel, method, payload):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, method, payload)
    status = rpc_status.from_call(caught.value)
    assert status is not None, f"{method.name} gave no google.rpc.Status"
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert info.domain == "sparring"
    assert "Traceback" not in status.message
    if len(status.details) > 1:
        status.details[1].Unpack(bad)
    return caught.value.code().name, info.reason, [violation.field for violation in bad.field_violations]


async def test_the_server_serves_every_service_of_the_contract():
    assert set(SERVICES) == {method.containing_service.full_name for method in METHODS}
    assert len(METHODS) == 31


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
async def test_an_empty_request_is_answered_or_refused_field_by_field(channel, method):
    empty = message_factory.GetMessageClass(method.input_type)()
    if method.name in NEEDS_NOTHING:
        (raw,) = await call(channel, method, empty.SerializeToString())
        message_factory.GetMessageClass(method.output_type).FromString(raw)
    else:
        code, reason, fields = await refused(channel, method, empty.SerializeToString())
        assert code == "INVALID_ARGUMENT"
        assert reason == "INVALID_FIELDS"
        assert fields


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
async def test_bytes_that_are_no_message_are_refused(channel, method):
    code, reason, _ = await refused(channel, method, NOT_A_MESSAGE)
    assert (code, reason) == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")


@pytest.mark.parametrize(
    "method", [m for m in METHODS if "name" in m.input_type.fields_by_name], ids=lambda method: method.full_name
)
async def test_a_name_of_nothing_is_not_found(channel, method):
    collection = {"Job": "jobs", "Model": "models", "Dataset": "datasets", "Artifact": "artifacts"}
    kind = next(word for word in collection if method.name.endswith(word))
    name = f"{collection[kind]}/" + "0" * (64 if kind == "Artifact" else 20)
    request = message_factory.GetMessageClass(method.input_type)(name=name)
    code, reason, _ = await refused(channel, method, request.SerializeToString())
    assert (code, reason) == ("NOT_FOUND", "RESOURCE_NOT_FOUND")
    for wrong in ("x" * 300, "others/x", name + "/y", collection[kind] + "/", "\x00"):
        request.name = wrong
        code, _, fields = await refused(channel, method, request.SerializeToString())
        assert (code, fields) == ("INVALID_ARGUMENT", ["name"]), wrong


async def test_reflection_lists_what_is_served(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async for response in stub.ServerReflectionInfo(iter([request])):
        names = {service.name for service in response.list_services_response.service}
    assert names == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_reflection_gives_the_contract_to_a_client_that_has_none(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="sparring.v1.JobService")
    async for response in stub.ServerReflectionInfo(iter([request])):
        assert jobs_pb2.DESCRIPTOR.serialized_pb in response.file_descriptor_response.file_descriptor_proto


async def test_a_message_above_the_limit_is_refused(channel):
    method = next(method for method in METHODS if method.name == "CreateJob")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, method, bytes(5 << 20))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
