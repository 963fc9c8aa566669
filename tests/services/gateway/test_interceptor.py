"""Whatever a handler raises ends as a status, in all four kinds of RPC."""

import asyncio

import grpc
import pytest

from services.errors import NotFound
from services.gateway.access import CHANGES
from services.gateway.audit import Auditor
from services.gateway.interceptor import Interceptor
from services.gateway.open_streams import OpenStreams
from services.gateway.tasks import end
from services.gateway.tenancy import Tenancy

KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


class Service:
    """Four methods that do what `behave` does with the first request."""

    def __init__(self, behave):
        self.behave = behave

    async def unary_unary(self, request, context):
        return await self.behave(request, context)

    async def unary_stream(self, request, context):
        yield await self.behave(request, context)

    async def stream_unary(self, requests, context):
        return await self.behave(await anext(aiter(requests)), context)

    async def stream_stream(self, requests, context):
        async for request in requests:
            yield await self.behave(request, context)


@pytest.fixture
async def serve():
    """Starts a server whose methods behave as told, and returns a function that calls one of them."""
    opened = []

    async def start(behave, package="sparring.test"):
        table = {f"/{package}/{kind}": CHANGES for kind in KINDS}
        interceptor = Interceptor(Tenancy(None), OpenStreams(10), Auditor(), table)
        service, server = Service(behave), grpc.aio.server(interceptors=[interceptor])
        handlers = {
            kind: getattr(grpc, f"{kind}_rpc_method_handler")(
                getattr(service, kind), request_deserializer=bytes, response_serializer=bytes
            )
            for kind in KINDS
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(package, handlers),))
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
        opened.append((server, channel))

        async def call(kind):
            request = iter([b"x"]) if kind.startswith("stream") else b"x"
            answer = getattr(channel, kind)(f"/{package}/{kind}")(request)
            return [part async for part in answer] if kind.endswith("stream") else [await answer]

        return call

    yield start
    for server, channel in opened:
        await channel.close()
        await server.stop(0)


@pytest.mark.parametrize("kind", KINDS)
async def test_answers_pass(serve, kind):
    async def behave(request, _):
        return request + b"y"

    assert await (await serve(behave))(kind) == [b"xy"]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_meant_for_clients_is_told(serve, refusal, kind):
    async def behave(*_):
        raise NotFound("Job", "jobs/x")

    found = await refusal((await serve(behave))(kind))
    assert (found.code, found.resource, found.message) == ("NOT_FOUND", "jobs/x", "there is no Job 'jobs/x'")


@pytest.mark.parametrize("kind", KINDS)
async def test_anything_else_is_logged_and_not_told(serve, refusal, kind, caplog):
    async def behave(*_):
        raise RuntimeError("password hunter2")

    found = await refusal((await serve(behave))(kind))
    assert (found.code, found.reason) == ("INTERNAL", "INTERNAL")
    assert "hunter2" not in found.message
    assert "RuntimeError: password hunter2" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_an_abort_of_the_handler_itself_passes(serve, refusal, kind):
    async def behave(_, context):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you")

    call = await serve(behave)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(kind)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, "who are you")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_call_is_cancelled_in_the_handler(serve, kind):
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def behave(*_):
        entered.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task((await serve(behave))(kind))
    await entered.wait()
    task.cancel()
    await asyncio.wait_for(cancelled.wait(), 10)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_other_services_answer_in_their_own_manner(serve):
    async def behave(*_):
        raise NotFound("Job", "jobs/x")

    call = await serve(behave, package="grpc.health.v1.Health")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call("unary_unary")
    assert caught.value.code() == grpc.StatusCode.UNKNOWN


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same():
    ignored = 0

    async def stubborn():
        nonlocal ignored
        while ignored < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ignored += 1
        await asyncio.sleep(60)

    async def broken():
        raise ValueError("nobody asks")

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(broken())]
    await asyncio.sleep(0)
    await end(tasks)
    assert ignored == 2
    assert all(task.done() for task in tasks)
