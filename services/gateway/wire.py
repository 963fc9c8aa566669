"""The one message that is encoded by hand: DownloadArtifactResponse, 256 KiB at a time.

A protobuf message would copy each chunk twice on the event loop, once into the message and once out of it. Measured
for 100 MiB in messages of 1 MiB on two busy cores (grpcio 1.85, protobuf 7.36): 0.40 s with messages, 0.21 s with these
bytes, against 0.16 s for a stream of constant bytes.
"""

from __future__ import annotations

import grpc
from sparring.v1 import artifacts_pb2

from services.gateway.handlers import Handler

SERVICE = artifacts_pb2.DESCRIPTOR.services_by_name["ArtifactService"].full_name

# A field's tag is its number shifted by three, and its wire type: 0 for a varint, 2 for bytes with their length.
_OFFSET = bytes([artifacts_pb2.DownloadArtifactResponse.OFFSET_FIELD_NUMBER << 3 | 0])
_DATA = bytes([artifacts_pb2.DownloadArtifactResponse.DATA_FIELD_NUMBER << 3 | 2])


def download_response(offset: int, data: bytes | memoryview) -> bytes:
    """Return what `DownloadArtifactResponse(offset=offset, data=data).SerializeToString()` would."""
    head = _OFFSET + _varint(offset) if offset else b""
    return b"".join((head, _DATA, _varint(len(data)), data)) if data else head


def register_download(download: object, server: grpc.aio.Server) -> None:
    """Register a DownloadArtifact that yields encoded messages, in place of the generated handler."""
    handler: Handler = grpc.unary_stream_rpc_method_handler(
        download,  # type: ignore[arg-type]
        request_deserializer=artifacts_pb2.DownloadArtifactRequest.FromString,
        response_serializer=None,
    )
    server.add_registered_method_handlers(SERVICE, {"DownloadArtifact": handler})


def _varint(number: int) -> bytes:
    """Encode a number that is not negative: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
