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
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from services import faultpoints
from services.errors import SparringError
from services.gateway import access, identity, status
from services.gateway.access import Access
from services.gateway.audit import Auditor, Call
from services.gateway.handlers import Context, Handler, code_of, decoded, decoding, resource_of, short
from services.gateway.identity import Identity
from services.gateway.open_streams import OpenStream, OpenStreams
from services.gateway.tenancy import Tenancy, check_role, credential_of
from services.gateway.traced import about, traced
from services.telemetry import logs
from services.telemetry.metrics_gateway import UNKNOWN, GatewayMetrics, Meter
from services.tenants.table import Credential, KeyExpired

log = logging.getLogger(__name__)

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
        self,
        tenancy: Tenancy,
        streams: OpenStreams,
        auditor: Auditor,
        table: Mapping[str, Access] = access.TABLE,
        *,
        metrics: GatewayMetrics | None = None,
    ) -> None:
        self._tenancy = tenancy
        self._streams = streams
        self._auditor = auditor
        self._table = table
        self._metrics = GatewayMetrics() if metrics is None else metrics

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
        decode = decoding(handler)
        kind = (handler.request_streaming, handler.response_streaming)
        meter = self._metrics.meter(short(method), streams=kind != (False, False))

        async def answer(raw: bytes, context: Context) -> Any:
            async with self._calling(method, context, rule, meter) as call:
                self._admit(call, context, rule)
                meter.received(len(raw))
                request = decode(raw)
                call.resource = resource_of(request)
                about(call.resource)
                if rule.changes:
                    faultpoints.reach("gateway.received")
                response = await inner(request, context)
                call.resource = resource_of(response) or call.resource
                about(call.resource)
                if rule.changes:
                    faultpoints.reach("gateway.answering")
                return response

        async def stream(raw: Any, context: Context) -> Any:
            async with (
                self._calling(method, context, rule, meter) as call,
                self._opened(call, context, rule) as opened,
            ):
                request = decoded(raw, decode, opened, meter) if handler.request_streaming else decode(raw)
                if not handler.response_streaming:
                    response = await inner(request, context)
                    call.resource = resource_of(response)
                    return response
                async with aclosing(inner(request, context)) as messages:
                    async for message in messages:
                        await opened.send(context.write(message))
                        meter.sent(message)
                return None

        # Requests are decoded in here, as the library's own answer to bytes that are no message is UNKNOWN.
        return _MAKERS[kind](
            answer if kind == (False, False) else stream,
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _unknown(self, method: str) -> Handler:
        """Return what answers for a method that is not there; it fits all four kinds."""

        async def answer(_: Any, context: Context) -> None:
            meter = self._metrics.meter(UNKNOWN, streams=True)
            async with self._calling(method, context, None, meter) as call:
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
        logs.bind(tenant=who.tenant)
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
    async def _calling(self, method: str, context: Context, rule: Access | None, meter: Meter) -> AsyncIterator[Call]:
        """End the call with the status of whatever is raised inside; a cancelled call is nobody's error and passes."""
        call = Call(rpc=short(method), peer=context.peer())
        meter.began()
        with traced(call, method, context, rule):
            try:
                yield call
            except grpc.aio.AbortError:
                call.code = code_of(context)
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
            finally:
                meter.ended(call.code, call.started)

    def _note(self, call: Call, rule: Access | None) -> None:
        """Have a call audited that changed something, would have, or was refused at the door."""
        refused = call.code in {"UNAUTHENTICATED", "PERMISSION_DENIED"}
        if refused or (rule is not None and rule.changes and call.identity is not None):
            self._auditor.note(call)


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
