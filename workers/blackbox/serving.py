"""The other side of the protocol: a server that answers for a function, for tests and for trials on one's own model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from numpy.typing import NDArray

from workers.blackbox import oip_pb2, wire
from workers.blackbox.calls import SERVICE

Array = NDArray[Any]
# A tensor as it came, samples first, to scores (N, K) float32 or labels (N,) int64.
Classify = Callable[[Array], Array]

_NO_LIMIT = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0))
_NAMES = {"f": "FP32", "i": "INT64"}


@dataclass(kw_only=True)
class Server:
    """One model, one input, one output: the methods that the three calls of the protocol end in.

    A subclass may answer differently; whatever is raised beside a status of `context` reaches the client as UNKNOWN.
    """

    classify: Classify
    model: str
    input_name: str = "input"
    datatype: str = "FP32"
    shape: tuple[int, ...] = ()  # of one sample, for the metadata
    output_name: str = "output"

    def live(self, request: oip_pb2.ServerLiveRequest, context: grpc.ServicerContext) -> oip_pb2.ServerLiveResponse:
        """Say yes."""
        del request, context
        return oip_pb2.ServerLiveResponse(live=True)

    def describe(
        self, request: oip_pb2.ModelMetadataRequest, context: grpc.ServicerContext
    ) -> oip_pb2.ModelMetadataResponse:
        """Say what the model takes."""
        self._known(request.name, context)
        tensor = oip_pb2.ModelMetadataResponse.TensorMetadata
        taken = tensor(name=self.input_name, datatype=self.datatype, shape=(-1, *self.shape))
        return oip_pb2.ModelMetadataResponse(name=self.model, platform="sparring", inputs=[taken])

    def infer(self, request: oip_pb2.ModelInferRequest, context: grpc.ServicerContext) -> oip_pb2.ModelInferResponse:
        """Classify: in raw bytes where the question came in raw bytes, and otherwise element by element."""
        self._known(request.model_name, context)
        raw = request.raw_input_contents
        if [tensor.name for tensor in request.inputs] != [self.input_name]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the input is {self.input_name!r}")
        try:
            array = wire.elements(request.inputs[0], raw[0] if raw else None)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        found = self.classify(array)
        answer = oip_pb2.ModelInferResponse(model_name=self.model, id=request.id)
        tensor = answer.outputs.add(name=self.output_name, datatype=_NAMES[found.dtype.kind], shape=found.shape)
        if raw:
            answer.raw_output_contents.append(found.tobytes())
        else:
            wire.put(tensor, found)
        return answer

    def _known(self, name: str, context: grpc.ServicerContext) -> None:
        if name != self.model:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no model {name!r}")


@contextmanager
def serve(
    server: Server, *, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    """Serve until the block ends; yields HOST:PORT. Port 0: any that is free. Without credentials in plain text."""
    methods = {
        "ServerLive": _method(server.live, oip_pb2.ServerLiveRequest),
        "ModelMetadata": _method(server.describe, oip_pb2.ModelMetadataRequest),
        "ModelInfer": _method(server.infer, oip_pb2.ModelInferRequest),
    }
    with ThreadPoolExecutor(max_workers=2) as threads:
        listening = grpc.server(threads, options=_NO_LIMIT)
        listening.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        if credentials is None:
            port = listening.add_insecure_port(address)
        else:
            port = listening.add_secure_port(address, credentials)
        listening.start()
        try:
            yield f"{address.rpartition(':')[0]}:{port}"
        finally:
            listening.stop(grace=None).wait()


def _method(
    answer: Callable[[Any, grpc.ServicerContext], Message], question: type[Message]
) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=question.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
