"""Both ends of a transfer on the client's side: where bytes come from, and where they go."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sparring.errors import DataLoss
from sparring.v1.artifacts_pb2 import DownloadArtifactResponse

CHUNK_BYTES = 2**20
Content = bytes | bytearray | memoryview | str | os.PathLike[str]


class Source:
    """Bytes to upload, from memory or (a str or a path) from a file, readable from any offset."""

    def __init__(self, content: Content) -> None:
        self._content = content if isinstance(content, str | os.PathLike) else memoryview(content).cast("B")
        self.size_bytes = 0
        self.sha256 = ""

    def measure(self) -> None:
        """Read the whole once for its size and digest."""
        if isinstance(self._content, memoryview):
            self.sha256, self.size_bytes = hashlib.sha256(self._content).hexdigest(), len(self._content)
            return
        digest, size = hashlib.sha256(), 0
        for chunk in self.chunks(0):
            digest.update(chunk)
            size += len(chunk)
        self.sha256, self.size_bytes = digest.hexdigest(), size

    def chunks(self, offset: int) -> Iterator[bytes]:
        """The bytes from an offset on, in chunks; a file is opened anew, as an older stream may still be reading."""
        if isinstance(self._content, memoryview):
            for start in range(offset, len(self._content), CHUNK_BYTES):
                yield bytes(self._content[start : start + CHUNK_BYTES])
            return
        with Path(self._content).open("rb") as file:
            file.seek(offset)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


class Sink:
    """Bytes that come down: hashed, and kept in memory or in a file that gets its name only when it is whole."""

    def __init__(self, path: Path | None) -> None:
        self.offset = 0
        self._digest = hashlib.sha256()
        self._path = path
        self._part = None if path is None else path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._file: BinaryIO = io.BytesIO() if self._part is None else self._part.open("xb")

    def take(self, message: DownloadArtifactResponse) -> None:
        """Keep the next bytes."""
        if message.offset != self.offset:
            raise DataLoss(f"bytes from {message.offset} on came where {self.offset} was due; download again")
        data = message.data  # each reading of the field copies it
        self._file.write(data)
        self._digest.update(data)
        self.offset += len(data)

    def seal(self, sha256: str) -> bytes:
        """Check the digest, then give the file its name, or give back the bytes."""
        found = self._digest.hexdigest()
        if found != sha256:
            raise DataLoss(
                f"the downloaded bytes have the SHA-256 {found}, not {sha256}; nothing was kept, download again",
                reason="DIGEST_MISMATCH",
            )
        if isinstance(self._file, io.BytesIO):
            return self._file.getvalue()
        assert self._path is not None
        assert self._part is not None
        self._file.close()
        self._part.replace(self._path)
        return b""

    def close(self) -> None:
        """Drop what was not sealed."""
        self._file.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)
