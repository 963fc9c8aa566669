"""What the interceptor makes of a call's handler: its requests decoded, its name, its resource, its code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from services.errors import InvalidArgument, Violation
from services.gateway.open_streams import OpenStream
from services.telemetry.metrics_gateway import Meter

Context = grpc.aio.ServicerContext[Any, Any]
# Only the stubs know that handlers are generic.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

# What `ServicerContext.code` says is a number in some releases.
_CODES: dict[object, str] = {code.value[0]: code.name for code in grpc.StatusCode}


def decoding(handler: Handler) -> Callable[[bytes], Any]:
    """Return what turns bytes into the handler's request."""
    parse = handler.request_deserializer
    assert parse is not None, "generated handlers have one"

    def decode(raw: bytes) -> Any:
        try:
            return parse(raw)
        except DecodeError as error:
            violation = Violation("request", "the bytes are not a message of this method; see its proto")
            raise InvalidArgument([violation], reason="MALFORMED_REQUEST") from error

    return decode


async def decoded(
    raws: AsyncIterator[bytes], decode: Callable[[bytes], Any], opened: OpenStream, meter: Meter
) -> AsyncIterator[Any]:
    """Yield the requests of a stream."""
    coming = aiter(raws)
    while True:
        try:
            raw = await opened.receive(anext(coming))
        except StopAsyncIteration:
            return
        meter.received(len(raw))
        yield decode(raw)


def code_of(context: Context) -> str:
    """Return the code that a handler has itself ended its call with."""
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else _CODES.get(code, "UNKNOWN")


def resource_of(message: Any) -> str:
    """Return what a request or a response is about, as far as its fields say it."""
    name = getattr(message, "name", "") or getattr(getattr(message, "artifact", None), "name", "")
    digest = getattr(message, "sha256", "")
    return str(name) if name else f"artifacts/{digest}" if digest else ""


def short(method: str) -> str:
    """Return "JobService.CancelJob" for the path of a method; a path is as long as its client likes."""
    return ".".join(method.rpartition(".")[2].split("/"))[:100]
