"""Blocking calls: deadline, error mapping, and the driver of flows."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import grpc

from sparring.channel import STREAM_S, Settings
from sparring.errors import from_rpc
from sparring.flow import Call, Flow, Pause, Receive, Send, Step
from sparring.resume import Patience

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")


class Caller:
    """A channel, and calls on it that raise `sparring.errors`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.channel = settings.open()
        # Something answered here before, so that a later silence is an outage and not a wrong address.
        self.reached = False

    def patience(self) -> Patience:
        """Patience for one stream."""
        return Patience(self.settings.patience_s)

    def call(self, method: grpc.UnaryUnaryMultiCallable[Q, A], request: Q) -> A:
        """Make a unary call."""
        answer: A = self._translated(method, request, self.settings.timeout_s)
        return answer

    def stream(
        self, method: grpc.UnaryStreamMultiCallable[Q, A], request: Q, timeout_s: float
    ) -> Generator[A, None, None]:
        """Yield a server's stream; the call is cancelled when the iterator is closed, however it is left."""
        call = method(request, timeout=timeout_s, wait_for_ready=self.settings.wait_for_ready)
        try:
            for message in call:
                self.reached = True
                yield message
        except grpc.RpcError as error:
            raise from_rpc(error, self.settings.target) from error
        finally:
            call.cancel()

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end."""
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._perform(step)
                except BaseException as error:  # noqa: BLE001 - the flow decides, and lets through what is not for it
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _translated(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            answer = method(request, timeout=timeout_s, wait_for_ready=self.settings.wait_for_ready)
        except grpc.RpcError as error:
            raise from_rpc(error, self.settings.target) from error
        self.reached = True
        return answer

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Call):
            return self.call(step.method, step.request)
        if isinstance(step, Send):
            return self._translated(step.method, step.messages(), STREAM_S)
        if isinstance(step, Receive):
            for message in self.stream(step.method, step.request, STREAM_S):
                step.take(message)
            return None
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return step.do()

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()
