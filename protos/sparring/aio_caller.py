"""Calls on an event loop: deadline, error mapping, and the driver of flows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

import grpc

from sparring.channel import STREAM_S, Settings
from sparring.errors import from_rpc
from sparring.flow import Call, Flow, Pause, Receive, Send, Step
from sparring.resume import Patience

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
        """Make a unary call."""
        answer: A = await self._translated(method, request, self.settings.timeout_s)
        return answer

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Q, A], request: Q, timeout_s: float
    ) -> AsyncGenerator[A, None]:
        """Yield a server's stream; the call is cancelled when the generator is closed.

        An abandoned asyncio call is never cancelled by gRPC itself, hence the `finally`.
        """
        call = method(request, timeout=timeout_s, wait_for_ready=self.settings.wait_for_ready)
        try:
            async for message in call:
                self.reached = True
                yield message
        except grpc.RpcError as error:
            raise from_rpc(error, self.settings.target) from error
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
            answer = await method(request, timeout=timeout_s, wait_for_ready=self.settings.wait_for_ready)
        except grpc.RpcError as error:
            raise from_rpc(error, self.settings.target) from error
        self.reached = True
        return answer

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Call):
            return await self.call(step.method, step.request)
        if isinstance(step, Send):
            return await self._translated(step.method, _off_loop(step.messages()), STREAM_S)
        if isinstance(step, Receive):
            async with aclosing(self.stream(step.method, step.request, STREAM_S)) as messages:
                async for message in messages:
                    await asyncio.to_thread(step.take, message)
            return None
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        return await asyncio.to_thread(step.do)

    async def close(self) -> None:
        """Close the channel."""
        await self.channel.close()


async def _off_loop(messages: Iterator[A]) -> AsyncIterator[A]:
    """Yield what an iterator that reads files yields, without blocking the loop."""
    while (message := await asyncio.to_thread(next, messages, None)) is not None:
        yield message
