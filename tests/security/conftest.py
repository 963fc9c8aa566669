"""A gateway with two tenants, and clients with keys of every role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from services.gateway.options import Options
from services.gateway.server import Gateway
from services.settings import GatewaySettings
from services.tenants.keys import hash_key, new_key

ROLES = ("read", "submit", "admin")
DETAILS = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.ResourceInfo,
        error_details_pb2.RetryInfo,
        error_details_pb2.QuotaFailure,
    )
}


@dataclass
class TenantsFile:
    """The file, and the texts of the keys in it by tenant and role; change `tables` and `write` it again."""

    path: Path
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    tables: dict[str, dict] = field(default_factory=dict)

    def add(self, tenant, role, name=None, **more):
        """Add a key; `name` is its id and how it is looked up, the role if it is left out."""
        name = role if name is None else name
        text = self.texts[tenant, name] = new_key(name)
        keys = self.tables.setdefault(tenant, {}).setdefault("keys", [])
        keys.append({"id": name, "sha256": f'"{hash_key(text)}"', "role": f'"{role}"', **more})
        return text

    def write(self):
        """Write by renaming, as an operator should."""
        lines = []
        for tenant, table in self.tables.items():
            lines += [f"[tenants.{tenant}]", *(f"{name} = {value}" for name, value in table.items() if name != "keys")]
            for key in table.get("keys", []):
                lines += [f"[[tenants.{tenant}.keys]]", f'id = "{key["id"]}"']
                lines += [f"{name} = {value}" for name, value in key.items() if name != "id"]
        fresh = self.path.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self.path)


@dataclass
class Answer:
    """What a call brought: messages, or a refusal with the bytes of everything that was said."""

    code: str = "OK"
    messages: list = field(default_factory=list)
    text: str = ""
    details: dict = field(default_factory=dict)
    raw: bytes = b""

    @property
    def reason(self):
        return self.details["ErrorInfo"].reason if "ErrorInfo" in self.details else ""


def refused(error: grpc.aio.AioRpcError) -> Answer:
    """Take a refusal apart."""
    found = Answer(code=error.code().name, text=error.details() or "")
    status = rpc_status.from_call(error)
    trailing = b"".join(v if isinstance(v, bytes) else v.encode() for _, v in error.trailing_metadata() or ())
    found.raw = found.text.encode() + trailing
    for detail in status.details if status is not None else ():
        kind = DETAILS[detail.TypeName()]
        found.details[kind.DESCRIPTOR.name] = kind.FromString(detail.value)
    return found


class Client:
    """Calls methods by their paths, with a key or without."""

    def __init__(self, channel, key=""):
        self.channel = channel
        self.metadata = (("authorization", f"Bearer {key}"),) if key else ()

    def start(self, method, *requests, raw=False):
        """Begin a call of a generated method descriptor."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        kind = ("stream" if method.client_streaming else "unary") + ("_stream" if method.server_streaming else "_unary")
        parse = bytes if raw else method.output_type._concrete_class.FromString
        sent = [r if isinstance(r, bytes) else r.SerializeToString() for r in requests]
        call = getattr(self.channel, kind)(path, request_serializer=bytes, response_deserializer=parse)
        return call(iter(sent) if method.client_streaming else sent[0], metadata=self.metadata, timeout=20)

    async def call(self, method, *requests, most=1000):
        """Make a call and return what came of it, after `most` messages at the latest.

        A write that fails before the status has come makes asyncio's client of gRPC forget the status; that call is
        made again.
        """
        while True:
            found = await self._call_once(method, *requests, most=most)
            if (found.code, found.text) != ("INTERNAL", "Internal error from Core"):
                return found

    async def _call_once(self, method, *requests, most):
        started = self.start(method, *requests)
        found = Answer()
        try:
            if not method.server_streaming:
                found.messages.append(await started)
            else:
                async for message in started:
                    found.messages.append(message)
                    if len(found.messages) == most:
                        started.cancel()
                        break
        except grpc.aio.AioRpcError as error:
            return refused(error)
        found.raw = b"".join(message.SerializeToString() for message in found.messages)
        return found


@pytest.fixture
def tenants_file(tmp_path) -> TenantsFile:
    """Tenants alpha and beta, each with a key of every role."""
    file = TenantsFile(tmp_path / "tenants.toml")
    for tenant in ("alpha", "beta"):
        for role in ROLES:
            file.add(tenant, role)
    file.write()
    return file


@pytest.fixture
async def start(job_store, store_settings) -> AsyncIterator:
    """Start gateways with any settings; returns the address and what is to be awaited to stop."""
    running = []

    async def begin(**settings):
        settings = {"listen": "127.0.0.1:0", "max_samples": 5000} | settings
        gateway = Gateway(GatewaySettings(store_settings, **settings), Options(drain_s=0, grace_s=0.2))
        address = await gateway.start()
        running.append(gateway)
        return address

    yield begin
    for gateway in running:
        await gateway.stop()


@pytest.fixture
async def address(start, tenants_file) -> str:
    """A gateway that asks for keys."""
    return await start(tenants_file=str(tenants_file.path))


@pytest.fixture
async def channel(address):
    """A connection to it."""
    async with grpc.aio.insecure_channel(address) as opened:
        yield opened


@pytest.fixture
def client(channel, tenants_file):
    """A client with the key of a tenant and role, or with a key's text."""
    return lambda tenant="", role="admin", key="": Client(channel, key or tenants_file.texts.get((tenant, role), ""))


async def reflected(client) -> dict:
    """Ask a server what it serves, and return the descriptor of every method, by its path."""
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)

    async def ask(**question):
        request = reflection_pb2.ServerReflectionRequest(**question)
        (answer,) = [a async for a in stub.ServerReflectionInfo(iter([request]), metadata=client.metadata)]
        return answer

    services = [s.name for s in (await ask(list_services="")).list_services_response.service]
    paths = {}
    for service in services:
        answer = await ask(file_containing_symbol=service)
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(raw)
            for raw in answer.file_descriptor_response.file_descriptor_proto
        ]
        for file in files:
            package = f"{file.package}." if file.package else ""
            for declared in file.service:
                if package + declared.name == service:
                    # The generated classes know the same descriptors, which a contract test checks.
                    known = descriptor_pool.Default().FindServiceByName(service)
                    for method in declared.method:
                        paths[f"/{service}/{method.name}"] = known.methods_by_name[method.name]
    return paths


@pytest.fixture
async def methods(client) -> dict:
    """Every method that the running server says it has, by path."""
    return await reflected(client("alpha"))


@pytest.fixture
def until():
    """Wait until an asynchronous check holds."""

    async def wait(check, seconds=20.0):
        async with asyncio.timeout(seconds):
            while not await check():  # noqa: ASYNC110 - what is waited for happens elsewhere and rings no bell
                await asyncio.sleep(0.05)

    return wait
