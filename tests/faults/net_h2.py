"""As much of HTTP/2 and gRPC as it takes to be a bad client: frames by hand, windows that stay shut, sockets not read.

The gRPC library reads ahead, answers pings and opens its windows by itself; here nothing happens unless asked for.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
FRAME_BYTES = 16384
LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65535


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def literal(text: bytes) -> bytes:
    """A string of HPACK, not compressed."""
    length = len(text)
    if length < 127:
        return bytes([length]) + text
    encoded, rest = bytearray([127]), length - 127
    while rest > 127:
        encoded.append(rest & 127 | 128)
        rest >>= 7
    return bytes(encoded) + bytes([rest]) + text


def headers(fields: list[tuple[str, bytes]]) -> bytes:
    """A header block, each field literal and not indexed."""
    return b"".join(b"\0" + literal(name.encode()) + literal(value) for name, value in fields)


def message(body: bytes) -> bytes:
    """A gRPC message: not compressed, its length, its bytes."""
    return b"\0" + struct.pack("!I", len(body)) + body


class H2:
    """One connection; `window` is what the server may send on a stream before it is allowed more."""

    def __init__(
        self,
        target: str,
        *,
        window: int = DEFAULT_WINDOW,
        connection_window: int = LARGEST_WINDOW,
        receive_bytes: int | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        host, _, port = target.rpartition(":")
        self.socket = socket.socket()
        self.socket.settimeout(timeout_s)
        if receive_bytes is not None:
            # Before connecting: what the kernel takes in for a reader that does not read.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect((host, int(port)))
        self._buffer = b""
        self._next_stream = 1
        settings = struct.pack("!HI", INITIAL_WINDOW_SIZE, window)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        if connection_window > DEFAULT_WINDOW:
            self.allow(0, connection_window - DEFAULT_WINDOW)

    def begin(self, path: str, extra: list[tuple[str, bytes]] | None = None) -> int:
        """Send the headers of a call; the id of its stream."""
        fields = [
            (":method", b"POST"),
            (":scheme", b"http"),
            (":path", path.encode()),
            (":authority", b"localhost"),
            ("te", b"trailers"),
            ("content-type", b"application/grpc"),
            *([] if extra is None else extra),
        ]
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        block = headers(fields)
        first, rest = block[:FRAME_BYTES], block[FRAME_BYTES:]
        self.socket.sendall(frame(HEADERS, 0 if rest else END_HEADERS, stream, first))
        while rest:
            part, rest = rest[:FRAME_BYTES], rest[FRAME_BYTES:]
            self.socket.sendall(frame(CONTINUATION, 0 if rest else END_HEADERS, stream, part))
        return stream

    def call(self, path: str, body: bytes, extra: list[tuple[str, bytes]] | None = None) -> int:
        """Send a whole call with one message; the id of its stream."""
        stream = self.begin(path, extra)
        self.socket.sendall(frame(DATA, END_STREAM, stream, message(body)))
        return stream

    def allow(self, stream: int, size_bytes: int) -> None:
        """Let the server send so much more, on a stream or (0) on the connection."""
        self.socket.sendall(frame(WINDOW_UPDATE, 0, stream, struct.pack("!I", size_bytes)))

    def reset(self, stream: int, code: int = 8) -> None:
        """End a stream; 8 is CANCEL."""
        self.socket.sendall(frame(RST_STREAM, 0, stream, struct.pack("!I", code)))

    def read(self, size_bytes: int = 1 << 16) -> Iterator[Frame]:
        """Read once from the socket, answer what HTTP/2 wants answered, and yield the frames that are whole."""
        received = self.socket.recv(size_bytes)
        if not received:
            raise ConnectionError("the server closed the connection")
        self._buffer += received
        while (found := self._take()) is not None:
            if found.kind == SETTINGS and not found.flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            elif found.kind == PING and not found.flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, found.payload))
            yield found

    def _take(self) -> Frame | None:
        if len(self._buffer) < 9:
            return None
        length = int.from_bytes(self._buffer[:3], "big")
        if len(self._buffer) < 9 + length:
            return None
        kind, flags, stream = struct.unpack("!BBI", self._buffer[3:9])
        payload, self._buffer = self._buffer[9 : 9 + length], self._buffer[9 + length :]
        return Frame(kind, flags, stream, payload)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
