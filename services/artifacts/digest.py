"""Digests and names of artifacts: `artifacts/{sha256}`, the SHA-256 of the whole in lower-case hex."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

# Fits the message limit that gRPC clients have unless they set another.
CHUNK_BYTES = 1 << 20
DIGEST_BYTES = 32
NAME_PREFIX = "artifacts/"
_SHA256 = re.compile("[0-9a-f]{64}")


def is_sha256(text: str) -> bool:
    """Whether a text is a digest as names carry it."""
    return _SHA256.fullmatch(text) is not None


def parse_name(name: str) -> str:
    """The digest of `artifacts/{sha256}` or of the bare digest; ValueError for anything else."""
    sha256 = name.removeprefix(NAME_PREFIX)
    if not is_sha256(sha256):
        raise ValueError(f"{name!r} is not artifacts/ and 64 lower-case hex digits")
    return sha256


def artifact_name(sha256: str) -> str:
    """`artifacts/{sha256}`."""
    return NAME_PREFIX + sha256


def sha256_hex(data: bytes | memoryview) -> str:
    """The digest of some bytes as names carry it."""
    return hashlib.sha256(data).hexdigest()


def chunk_digest(data: bytes | memoryview) -> bytes:
    """The digest of one chunk as manifests carry it: 32 bytes."""
    return hashlib.sha256(data).digest()


def chunk_count(size_bytes: int) -> int:
    """How many chunks hold so many bytes."""
    return -(-size_bytes // CHUNK_BYTES)


def rechunked(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of what some parts are when they are put together, holding no more than a part and a chunk."""
    held = bytearray()
    for part in parts:
        view = memoryview(part)
        while len(view) > 0:
            taken = view[: CHUNK_BYTES - len(held)]
            held += taken
            view = view[len(taken) :]
            if len(held) == CHUNK_BYTES:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)


def chunks(data: memoryview) -> Iterator[memoryview]:
    """The chunks of some bytes, not copied."""
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
