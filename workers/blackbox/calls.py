"""Calls of the Open Inference Protocol over gRPC: the channel, the rate, the attempts and what their failures mean.

UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED    tried again; after the last attempt ENDPOINT_UNAVAILABLE
any other status                                      ENDPOINT_REFUSED at once: it would be the same again
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message

from workers.blackbox import oip_pb2
from workers.blackbox.ledger import Ledger
from workers.blackbox.options import EndpointOptions
from workers.blackbox.pace import Clock, TokenBucket, backoff_s
from workers.failures import Rejected

SERVICE: Final = "inference.GRPCInferenceService"

_TRANSIENT: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
# Of a server's own words, as many characters as are shown.
_LONGEST: Final = 300
# A batch of pictures is larger than gRPC's 4 MiB.
_NO_LIMIT: Final = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))

Answered = TypeVar("Answered", bound=Message)


class Brought(NamedTuple):
    """An answer, and what it took."""

    response: oip_pb2.ModelInferResponse
    milliseconds: float  # of the attempt that succeeded
    attempts: int


class Caller:
    """One channel to one served model. Connects at the first call."""

    def __init__(self, options: EndpointOptions, ledger: Ledger, *, clock: Clock, waiting: Callable[[], None]) -> None:
        self._options, self._ledger, self._clock, self._waiting = options, ledger, clock, waiting
        rate = options.queries_per_s
        self._bucket = None if rate is None else TokenBucket(rate, clock.now())
        self._chance = random.Random()  # noqa: S311 spreads retries over time; no result depends on it
        self._metadata = () if options.bearer is None else (("authorization", f"Bearer {options.bearer}"),)
        self._channel = _channel(options)
        self._live = self._method("ServerLive", oip_pb2.ServerLiveResponse)
        self._describe = self._method("ModelMetadata", oip_pb2.ModelMetadataResponse)
        self._infer = self._method("ModelInfer", oip_pb2.ModelInferResponse)

    def live(self) -> bool:
        """Whether the server says that it is live; False where none answers."""
        try:
            return self._once(self._live, oip_pb2.ServerLiveRequest()).live
        except grpc.RpcError:
            return False

    def metadata(self) -> oip_pb2.ModelMetadataResponse:
        """What the server says of the model. Raises `Rejected`."""
        request = oip_pb2.ModelMetadataRequest(name=self._options.model, version=self._options.version)
        try:
            return self._once(self._describe, request)
        except grpc.RpcError as error:
            raise self._rejected(error, attempts=1) from error

    def infer(self, request: oip_pb2.ModelInferRequest, samples: int) -> Brought:
        """Ask about so many samples until there is an answer. Raises `Rejected`; see the head of this file."""
        for attempt in range(1, self._options.attempts + 1):
            if self._bucket is not None:
                self._clock.wait(self._bucket.take(samples, self._clock.now()), self._waiting)
            self._ledger.attempt(samples)
            begun = self._clock.now()
            try:
                response = self._once(self._infer, request)
            except grpc.RpcError as error:
                self._ledger.failed()
                if error.code() not in _TRANSIENT or attempt == self._options.attempts:
                    raise self._rejected(error, attempts=attempt) from error
            else:
                return Brought(response, (self._clock.now() - begun) * 1000, attempt)
            first, longest = self._options.first_backoff_s, self._options.longest_backoff_s
            pause = backoff_s(attempt, first=first, longest=longest, chance=self._chance)
            self._clock.wait(pause, self._waiting)
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def _method(self, name: str, answer: type[Answered]) -> grpc.UnaryUnaryMultiCallable[Message, Answered]:
        return self._channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    def _once(self, method: grpc.UnaryUnaryMultiCallable[Message, Answered], request: Message) -> Answered:
        # A server that is still starting refuses connections: that is a failed attempt and not a wait.
        return method(request, timeout=self._options.deadline_s, metadata=self._metadata, wait_for_ready=False)

    def _rejected(self, error: grpc.RpcError, *, attempts: int) -> Rejected:
        code, said = error.code(), str(error.details())[:_LONGEST]
        told = f"{self._options.address}, model {self._options.model!r}: {code.name}: {said}"
        if code in _TRANSIENT:
            return Rejected("ENDPOINT_UNAVAILABLE", f"no answer in {attempts} attempts from {told}; try again later")
        return Rejected("ENDPOINT_REFUSED", f"refused by {told}; check the endpoint's options")


def _channel(options: EndpointOptions) -> grpc.Channel:
    if not options.tls:
        return grpc.insecure_channel(options.address, options=_NO_LIMIT)
    credentials = grpc.ssl_channel_credentials(root_certificates=options.root_certificates)
    return grpc.secure_channel(options.address, credentials, options=_NO_LIMIT)
