"""Blocking calls: deadline, error mapping, and the driver of flows."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import grpc

from sparring import tracing
from sparring.channel import STREAM_S, Settings
from sparring.errors import ServiceError
from sparring.flow import Call, Flow, Outgoing, Pause, Receive, Send, Step
from sparring.resume import OUTAGES, SILENCES, Holdout, Patience
from sparring.statuses import from_rpc
from sparring.v1.artifacts_pb2_grpc import ArtifactServiceStub

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
        """Make a unary call, again and again through an outage for as long as it may take."""
        answer = self._held_out(method, request, ())
        assert answer is not None, "nothing was to be taken for done"
        return answer

    def change(self, method: grpc.UnaryUnaryMultiCallable[Q, A], request: Q, done: type[ServiceError]) -> A | None:
        """Make a unary call that can be done but once; None where an attempt whose answer was lost had done it.

        `done`: what the service answers when it is asked again for what it has done.
        """
        return self._held_out(method, request, (done,))

    def _held_out(
        self, method: grpc.UnaryUnaryMultiCallable[Q, A], request: Q, done: tuple[type[ServiceError], ...]
    ) -> A | None:
        holdout = Holdout(self.settings.timeout_s, reached=self.reached)
        while True:
            try:
                answer: A = self._translated(method, request, holdout.left_s())
            except OUTAGES as error:
                time.sleep(holdout.delay_s(error))
            except done:
                if holdout.failed == 0:
                    raise
                return None
            else:
                return answer

    def stream(
        self, method: grpc.UnaryStreamMultiCallable[Q, A], request: Q, timeout_s: float
    ) -> Generator[A, None, None]:
        """Yield a server's stream; the call is cancelled when the iterator is closed, however it is left."""
        call = method(request, **self._with(timeout_s))
        try:
            for message in call:
                self.reached = True
                yield message
        except grpc.RpcError as error:
            raise self._error(error) from error
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
            answer = method(request, **self._with(timeout_s))
        except grpc.RpcError as error:
            raise self._error(error) from error
        self.reached = True
        return answer

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Call):
            return self.call(step.method, step.request)
        if isinstance(step, Send):
            outgoing = Outgoing(step.messages())
            with outgoing.blamed():
                return self._translated(ArtifactServiceStub(self.channel).UploadArtifact, outgoing, STREAM_S)
        if isinstance(step, Receive):
            for message in self.stream(step.method, step.request, STREAM_S):
                step.take(message)
            return None
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return step.do()

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

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()
