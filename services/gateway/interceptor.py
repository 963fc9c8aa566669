"""What every call passes, whichever of the four kinds its RPC is: who asks, may they, and where exceptions end.

The caller is known before a request is read as a message, and before it is said whether a method exists. Only
grpc.health.v1 asks for nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from services import faultpoints
from services.errors import InvalidArgument, SparringError, Violation
from services.gateway import access, identity, status
from services.gateway.access import Access
from services.gateway.audit import Auditor, Call
from services.gateway.identity import Identity
from services.gateway.open_streams import OpenStream, OpenStreams
from services.gateway.tenancy import Tenancy, check_role, credential_of
from services.tenants.table import Credential, KeyExpired

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
# Only the stubs know that handlers are generic.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

# The status of a client that does not read waits behind what it has not read; its call is let go after so long.
ABORT_S = 5.0

_MAKERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Interceptor(grpc.aio.ServerInterceptor):
    """Stands before every handler of one gateway."""

    def __init__(
        self, tenancy: Tenancy, streams: OpenStreams, auditor: Auditor, table: Mapping[str, Access] = access.TABLE
    ) -> None:
        self._tenancy = tenancy
        self._streams = streams
        self._auditor = auditor
        self._table = table

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wrap the handler of one call."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if method.startswith(access.HEALTH):
            return handler
        if handler is None or method not in self._table:
            return self._unknown(method)
        return self._wrapped(handler, method, self._table[method])

    def _wrapped(self, handler: Handler, method: str, rule: Access) -> Handler:
        """Return the same handler behind everything that stands before it."""
        # Exactly one of the four is set; the stubs know only the synchronous forms of them.
        inner: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        decode = _decoding(handler)

        async def answer(raw: bytes, context: Context) -> Any:
            async with self._calling(method, context, rule) as call:
                self._admit(call, context, rule)
                request = decode(raw)
                call.resource = _resource_of(request)
                if rule.changes:
                    faultpoints.reach("gateway.received")
                response = await inner(request, context)
                call.resource = _resource_of(response) or call.resource
                if rule.changes:
                    faultpoints.reach("gateway.answering")
                return response

        async def stream(raw: Any, context: Context) -> Any:
            async with self._calling(method, context, rule) as call, self._opened(call, context, rule) as opened:
                request = _decoded(raw, decode, opened) if handler.request_streaming else decode(raw)
                if not handler.response_streaming:
                    response = await inner(request, context)
                    call.resource = _resource_of(response)
                    return response
                async with aclosing(inner(request, context)) as messages:
                    async for message in messages:
                        await opened.send(context.write(message))
                return None

        kind = (handler.request_streaming, handler.response_streaming)
        # Requests are decoded in here, as the library's own answer to bytes that are no message is UNKNOWN.
        return _MAKERS[kind](
            answer if kind == (False, False) else stream,
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _unknown(self, method: str) -> Handler:
        """Return what answers for a method that is not there; it fits all four kinds."""

        async def answer(_: Any, context: Context) -> None:
            async with self._calling(method, context, None) as call:
                self._admit(call, context, None)
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "there is no such method")

        return grpc.stream_stream_rpc_method_handler(answer)

    def _admit(self, call: Call, context: Context, rule: Access | None) -> tuple[Credential, Identity]:
        """Let the rest of the call run for whoever asks. Unauthenticated, PermissionDenied."""
        credential = Credential() if self._tenancy.open else credential_of(context)
        try:
            who = self._tenancy.identify(credential)
        except KeyExpired as error:
            call.identity = Identity(tenant=error.key.tenant, key=error.key.id, role=error.key.role)
            raise
        call.identity = who
        if rule is not None:
            check_role(who, rule.role)
        identity.enter(who)
        return credential, who

    @asynccontextmanager
    async def _opened(self, call: Call, context: Context, rule: Access) -> AsyncIterator[OpenStream]:
        """Admit a stream, and count it."""
        credential, who = self._admit(call, context, rule)

        def recheck() -> None:
            self._tenancy.recheck(credential, who)

        async with self._streams.opened(who.tenant, recheck, transfers=rule.transfers) as opened:
            yield opened

    @asynccontextmanager
    async def _calling(self, method: str, context: Context, rule: Access | None) -> AsyncIterator[Call]:
        """End the call with the status of whatever is raised inside; a cancelled call is nobody's error and passes."""
        call = Call(rpc=_short(method), peer=context.peer())
        try:
            yield call
        except grpc.aio.AbortError:
            raise
        except asyncio.CancelledError:
            call.code = "CANCELLED"
            self._note(call, rule)
            raise
        except SparringError as error:
            call.code, call.reason = error.code, error.reason
            self._note(call, rule)
            await _abort(status.of_error(error), context, call)
        except Exception as error:  # noqa: BLE001 - this is the one place where an unexpected exception has to end
            call.code = call.reason = "INTERNAL"
            self._note(call, rule)
            await _abort(status.of_unexpected(error, method), context, call)
        else:
            self._note(call, rule)

    def _note(self, call: Call, rule: Access | None) -> None:
        """Have a call audited that changed something, would have, or was refused at the door."""
        refused = call.code in {"UNAUTHENTICATED", "PERMISSION_DENIED"}
        if refused or (rule is not None and rule.changes and call.identity is not None):
            self._auditor.note(call)


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


async def _decoded(
    raws: AsyncIterator[bytes], decode: Callable[[bytes], Any], opened: OpenStream
) -> AsyncIterator[Any]:
    """Yield the requests of a stream."""
    coming = aiter(raws)
    while True:
        try:
            raw = await opened.receive(anext(coming))
        except StopAsyncIteration:
            return
        yield decode(raw)


def _resource_of(message: Any) -> str:
    """Return what a request or a response is about, as far as its fields say it."""
    name = getattr(message, "name", "") or getattr(getattr(message, "artifact", None), "name", "")
    digest = getattr(message, "sha256", "")
    return str(name) if name else f"artifacts/{digest}" if digest else ""


def _short(method: str) -> str:
    """Return "JobService.CancelJob" for the path of a method; a path is as long as its client likes."""
    return ".".join(method.rpartition(".")[2].split("/"))[:100]


async def _abort(result: Status, context: Context, call: Call) -> None:
    # Strangers are counted by the auditor, so that they can't fill the log.
    if call.identity is not None:
        seconds = time.monotonic() - call.started
        log.info("%s ended with code %s after %.3f s: %s", call.rpc, call.code, seconds, result.message)
    try:
        async with asyncio.timeout(ABORT_S):
            await context.abort_with_status(rpc_status.to_status(result))
    except TimeoutError:
        raise asyncio.CancelledError from None
