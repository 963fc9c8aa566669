"""Calls on an event loop: deadline, error mapping, and the driver of flows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cached_property
from typing import Any, TypeVar

import grpc

from sparring import tracing
from sparring.channel import STREAM_S, Settings
from sparring.errors import ServiceError
from sparring.flow import Call, Flow, Outgoing, Pause, Receive, Send, Step
from sparring.resume import OUTAGES, SILENCES, Holdout, Patience
from sparring.statuses import from_rpc
from sparring.v1.artifacts_pb2 import UploadArtifactResponse
from sparring.v1.artifacts_pb2_grpc import ArtifactServiceStub

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")


class AsyncCaller:
    """A channel, and calls on it that raise `sparring.errors`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.channel = settings.open_async()
        # Something answered here before, so that a later silence is an outage and not a wrong address.
        self.reached = False

    def patience(self) -> Patience:
        """Patience for one stream."""
        return Patience(self.settings.patience_s)

    async def call(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q) -> A:
        """Make a unary call, again and again through an outage for as long as it may take."""
        answer = await self._held_out(method, request, ())
        assert answer is not None, "nothing was to be taken for done"
        return answer

    async def change(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q, done: type[ServiceError]
    ) -> A | None:
        """Make a unary call that can be done but once; None where an attempt whose answer was lost had done it.

        `done`: what the service answers when it is asked again for what it has done.
        """
        return await self._held_out(method, request, (done,))

    async def _held_out(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q, done: tuple[type[ServiceError], ...]
    ) -> A | None:
        holdout = Holdout(self.settings.timeout_s, reached=self.reached)
        while True:
            try:
                answer: A = await self._translated(method, request, holdout.left_s())
            except OUTAGES as error:
                await asyncio.sleep(holdout.delay_s(error))
            except done:
                if holdout.failed == 0:
                    raise
                return None
            else:
                return answer

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Q, A], request: Q, timeout_s: float
    ) -> AsyncGenerator[A, None]:
        """Yield a server's stream; the call is cancelled when the generator is closed.

        An abandoned asyncio call is never cancelled by gRPC itself, hence the `finally`.
        """
        call = method(request, **self._with(timeout_s))
        try:
            async for message in call:
                self.reached = True
                yield message
        except grpc.RpcError as error:
            raise self._error(error) from error
        finally:
            call.cancel()

    async def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end."""
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._perform(step)
                except BaseException as error:  # noqa: BLE001 - the flow decides, and lets through what is not for it
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _translated(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            answer = await method(request, **self._with(timeout_s))
        except grpc.RpcError as error:
            raise self._error(error) from error
        self.reached = True
        return answer

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Call):
            return await self.call(step.method, step.request)
        if isinstance(step, Send):
            outgoing = Outgoing(step.messages())
            with outgoing.blamed():
                return await self._translated(self._upload, outgoing, STREAM_S)
        if isinstance(step, Receive):
            async with aclosing(self.stream(step.method, step.request, STREAM_S)) as messages:
                async for message in messages:
                    await asyncio.to_thread(step.take, message)
            return None
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        return await asyncio.to_thread(step.do)

    @cached_property
    def _uploading(self) -> grpc.Channel:
        """A blocking channel for what is streamed up.

        A write that fails because the service has just ended the call makes grpc.aio report INTERNAL for good, if it
        comes before the service's status does. gRPC's blocking half waits for that status, which is the truth.
        """
        return self.settings.open()

    async def _upload(self, messages: Outgoing, **options: Any) -> UploadArtifactResponse:
        """Stream an upload in gRPC's own threads, where files may be read, and await its end here."""
        call: Any = ArtifactServiceStub(self._uploading).UploadArtifact.future(messages, **options)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        call.add_done_callback(lambda _: loop.is_closed() or loop.call_soon_threadsafe(ended.set))
        try:
            await ended.wait()
        finally:
            call.cancel()
        answer: UploadArtifactResponse = call.result()
        return answer

    def _with(self, timeout_s: float) -> dict[str, Any]:
        return {
            "timeout": timeout_s,
            "wait_for_ready": self.settings.wait_for_ready,
            "metadata": (*self.settings.metadata, *tracing.metadata()),
        }

    def _error(self, error: grpc.RpcError) -> ServiceError:
        found = from_rpc(error, self.settings.target, secure=self.settings.credentials is not None)
        self.reached = self.reached or found.code not in SILENCES
        return found

    async def close(self) -> None:
        """Close the channels."""
        if "_uploading" in self.__dict__:
            self._uploading.close()
        await self.channel.close()
