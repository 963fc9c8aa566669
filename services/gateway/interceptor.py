"""Where every exception of a handler ends: as a status, whichever of the four kinds the RPC is."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from services.errors import InvalidArgument, SparringError, Violation
from services.gateway import status

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
# Only the stubs know that handlers are generic.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

_MAKERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Translator(grpc.aio.ServerInterceptor):
    """Turns what the handlers of `sparring.*` services raise into rich statuses, and logs each RPC that failed."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        # An unknown method has no handler; health and reflection answer in their own manner.
        if handler is None or not handler_call_details.method.startswith("/sparring."):
            return handler
        return _wrapped(handler, handler_call_details.method)


def _wrapped(handler: Handler, method: str) -> Handler:
    """Return the same handler with its exceptions translated."""
    kind = (handler.request_streaming, handler.response_streaming)
    # Exactly one of the four is set; the stubs know only the synchronous forms of them.
    call: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

    decode: Any = _decoding_each(handler) if handler.request_streaming else _decoding(handler)

    async def answer(raw: Any, context: Context) -> Any:
        async with _translating(context, method):
            return await call(decode(raw), context)

    async def stream(raw: Any, context: Context) -> AsyncIterator[Any]:
        async with _translating(context, method), aclosing(call(decode(raw), context)) as messages:
            async for message in messages:
                yield message

    # Requests are decoded in here, as the library's own answer to bytes that are no message is UNKNOWN.
    return _MAKERS[kind](
        stream if handler.response_streaming else answer,
        request_deserializer=None,
        response_serializer=handler.response_serializer,
    )


def _decoding(handler: Handler) -> Callable[[bytes], Any]:
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


def _decoding_each(handler: Handler) -> Callable[[AsyncIterator[bytes]], AsyncIterator[Any]]:
    """Return the same for a stream of requests."""
    decode = _decoding(handler)

    async def decoded(raws: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for raw in raws:
            yield decode(raw)

    return decoded


@asynccontextmanager
async def _translating(context: Context, method: str) -> AsyncIterator[None]:
    """End the call with the status of whatever is raised inside; a cancelled call is nobody's error and passes."""
    started = time.monotonic()
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except SparringError as error:
        await _abort(status.of_error(error), context, method, started)
    except Exception as error:  # noqa: BLE001 - this is the one place where an unexpected exception has to end
        await _abort(status.of_unexpected(error, method), context, method, started)


async def _abort(result: Status, context: Context, method: str, started: float) -> None:
    seconds = time.monotonic() - started
    log.info("%s ended with code %d after %.3f s: %s", method, result.code, seconds, result.message)
    await context.abort_with_status(rpc_status.to_status(result))
