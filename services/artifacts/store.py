"""The artifacts: `ArtifactStore` for a worker's threads, `AsyncArtifactStore` (in `aio`) for the gateway.

What is known about them is in Redis, the store of jobs; their bytes are there too, or outside (`shelves`). A chunk is
staged under its upload and becomes part of the artifact when the whole is sealed, so an artifact that can be seen is
whole. Every chunk that is read is compared with its digest. Every method may raise Unavailable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from services import faultpoints
from services.artifacts import calls
from services.artifacts.aio import AsyncArtifactStore
from services.artifacts.calls import ArtifactInfo
from services.artifacts.digest import chunk_digest, chunks, rechunked, sha256_hex
from services.artifacts.outside import connect_outside
from services.artifacts.reading import Reader
from services.artifacts.writing import PartsWriter, Writer
from services.connection import Redis, translated
from services.errors import NotFound, Unavailable
from services.settings import StoreSettings

__all__ = ["ArtifactInfo", "ArtifactStore", "AsyncArtifactStore"]

# Stands for a digest that is not known yet where only the size is checked.
EMPTY_SHA256 = sha256_hex(b"")


class ArtifactStore:
    """What a worker reads and writes. It is not held to the admission limit: what was accepted must be able to end."""

    def __init__(self, redis: Redis, settings: StoreSettings | None = None) -> None:
        self._redis = redis
        self._settings = StoreSettings() if settings is None else settings
        self._outside = connect_outside(self._settings.artifacts, redis)
        self._reader = Reader(redis, self._outside)

    def _execute(self, command: tuple[Any, ...]) -> Any:
        with translated():
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

    def check(self) -> None:
        """Make sure that bytes outside can be read and put, where that is where they are. Unavailable."""
        if self._outside is not None:
            self._outside.check()

    def put(
        self,
        tenant: str,
        data: bytes | memoryview,
        media_type: str = "application/octet-stream",
        ttl_s: float | None = None,
    ) -> str:
        """Keep some bytes for `ttl_s` at least (as the settings say, if None) and return their digest.

        Bytes that are held already are not sent. InvalidArgument: none, or more than the cap; ResourceExhausted: full.
        """
        view = memoryview(data).cast("B")
        sha256 = sha256_hex(view)
        calls.check_declared(sha256, len(view), media_type, self._settings.max_artifact_bytes)
        try:
            self.touch(tenant, sha256, ttl_s)
        except NotFound:
            self._send(tenant, view, sha256, media_type, self._ttl_ms(ttl_s))
        return sha256

    def put_parts(
        self,
        tenant: str,
        parts: Iterable[bytes],
        media_type: str = "application/octet-stream",
        ttl_s: float | None = None,
    ) -> tuple[str, int]:
        """Keep what `parts` yields, one after the other, and return digest and size.

        No more than a chunk is held here, or than a part where bytes go outside.

        Raises as `put` does; where `parts` raises, nothing is kept, and what was sent lapses.
        """
        writer, whole, size = self._writer(tenant), hashlib.sha256(), 0
        for chunk in rechunked(parts):
            size += len(chunk)
            calls.check_declared(EMPTY_SHA256, size, media_type, self._settings.max_artifact_bytes)
            writer.add(chunk_digest(chunk), chunk)
            whole.update(chunk)
        sha256 = whole.hexdigest()
        calls.check_declared(sha256, size, media_type, self._settings.max_artifact_bytes)
        self._seal(tenant, writer, (sha256, size, media_type), self._ttl_ms(ttl_s))
        return sha256, size

    def _send(self, tenant: str, view: memoryview, sha256: str, media_type: str, ttl_ms: int) -> None:
        writer = self._writer(tenant)
        for chunk in chunks(view):
            writer.add(chunk_digest(chunk), chunk)
        self._seal(tenant, writer, (sha256, len(view), media_type), ttl_ms)

    def _writer(self, tenant: str) -> Writer:
        if self._outside is None:
            return Writer(self._execute, tenant)
        return PartsWriter(self._outside, self._execute, tenant)

    def _seal(self, tenant: str, writer: Writer, what: tuple[str, int, str], ttl_ms: int) -> None:
        digests, counts = writer.end()
        faultpoints.reach("artifacts.written")
        sealed = self._execute(calls.function("artifact_seal", tenant, writer.id, *what, digests, ttl_ms, counts))
        if sealed == b"INCOMPLETE":
            raise Unavailable(f"the chunks of {what[0]} lapsed before all of them were sent; put it again")

    def get(self, tenant: str, sha256: str) -> bytes:
        """All bytes of an artifact. NotFound, DataLoss."""
        return self._reader.whole(tenant, self._reader.manifest(tenant, sha256))

    def stat(self, tenant: str, sha256: str) -> ArtifactInfo:
        """What is known about an artifact. NotFound."""
        return calls.info(sha256, self._execute(calls.read_manifest(tenant, sha256)))

    def touch(self, tenant: str, sha256: str, ttl_s: float | None = None) -> ArtifactInfo:
        """Keep an artifact for `ttl_s` more at least. NotFound."""
        return calls.info(sha256, self._execute(calls.function("artifact_touch", tenant, sha256, self._ttl_ms(ttl_s))))

    def delete(self, tenant: str, sha256: str) -> None:
        """Drop an artifact. NotFound; FailedPrecondition: it is pinned."""
        calls.check_done(sha256, self._execute(calls.function("artifact_delete", tenant, sha256)))

    def pin(self, tenant: str, sha256: str) -> None:
        """Keep an artifact until it is unpinned as often as it was pinned. NotFound.

        `Registration.pins` does the same for as long as something is registered, and survives a lost answer.
        """
        calls.check_done(sha256, self._execute(calls.function("artifact_pin", tenant, sha256)))

    def unpin(self, tenant: str, sha256: str) -> None:
        """Undo one pin; without pins an artifact lapses after the usual time. NotFound."""
        calls.check_done(sha256, self._execute(calls.function("artifact_unpin", tenant, sha256, self._ttl_ms(None))))

    def _ttl_ms(self, ttl_s: float | None) -> int:
        return round((self._settings.artifact_ttl_s if ttl_s is None else ttl_s) * 1000)
