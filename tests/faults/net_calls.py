"""Every method that a gateway serves, by its own word (reflection), called with raw bytes."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

# What a client may be told that asks for something bad; everything else is the service's own fault.
ALLOWED = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "ALREADY_EXISTS",
    "OUT_OF_RANGE",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "UNIMPLEMENTED",
    "DATA_LOSS",
    "ABORTED",
    "CANCELLED",
}
ROOT = str(Path(__file__).parents[2])
_LEAK = re.compile(r"Traceback|\.py\b|site-packages|line \d+, in |0x[0-9a-f]{8,}|object at |FCALL|EVALSHA|user_script")
# A stream that has nothing more to say is left after so many messages, or so many seconds.
MESSAGES = 5
STREAM_S = 0.25
CALL_S = 60.0


@dataclass(frozen=True)
class Answer:
    """How a call ended: the code's name, and all the text that the client was told."""

    code: str
    text: str


FORGOTTEN = Answer("INTERNAL", "Internal error from Core ")


def methods(target: str) -> list[MethodDescriptor]:
    """Every method of every service of the contract, as the gateway at `target` describes them."""
    with grpc.insecure_channel(target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        found = [
            method
            for name in sorted(database.get_services())
            if name.startswith("sparring.")
            for method in pool.FindServiceByName(name).methods
        ]
        for method in found:
            # Looked at while the channel is open: the pool fetches what it does not know.
            assert method.input_type.fields is not None
            assert method.output_type.fields is not None
    return found


async def call(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    requests: list[bytes],
    metadata: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """Call a method with these messages (one, unless it takes a stream); what comes is dropped.

    A write that fails before the status has come makes asyncio's client of gRPC forget the status; that call is made
    again.
    """
    while (answer := await _call_once(channel, method, requests, metadata)) == FORGOTTEN:
        pass
    return answer


async def _call_once(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    requests: list[bytes],
    metadata: tuple[tuple[str, str], ...],
) -> Answer:
    path = f"/{method.containing_service.full_name}/{method.name}"
    kind = ("stream" if method.client_streaming else "unary") + "_" + ("stream" if method.server_streaming else "unary")
    request = iter(requests) if method.client_streaming else requests[0]
    pending = getattr(channel, kind)(path)(request, timeout=CALL_S, metadata=metadata)
    try:
        if method.server_streaming:
            await _glance(pending)
        else:
            await pending
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(error)
        return Answer(error.code().name, f"{error.details()} {'' if status is None else status}")
    return Answer("OK", "")


async def _glance(stream: grpc.aio.UnaryStreamCall) -> None:
    """Read a little of a stream, and leave it."""
    try:
        async with asyncio.timeout(STREAM_S):
            for _ in range(MESSAGES):
                if await stream.read() is grpc.aio.EOF:
                    return
    except TimeoutError:
        pass
    finally:
        stream.cancel()


def leaks(text: str) -> bool:
    """Whether a text tells what only a log should: code, paths of the program, words of the store."""
    return ROOT in text or _LEAK.search(text) is not None
