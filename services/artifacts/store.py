"""The artifacts in Redis: `ArtifactStore` for a worker's threads, `AsyncArtifactStore` (in `aio`) for the gateway.

A chunk is staged under its upload and becomes part of the artifact when the whole is sealed, so an artifact that can
be seen is whole. Every chunk that is read is compared with its digest. Every method may raise Unavailable.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from typing import Any

from services.artifacts import calls
from services.artifacts.aio import AsyncArtifactStore
from services.artifacts.calls import ArtifactInfo
from services.artifacts.digest import chunk_digest, chunks, rechunked, sha256_hex
from services.connection import Redis, translated
from services.errors import NotFound, Unavailable
from services.settings import StoreSettings

__all__ = ["ArtifactInfo", "ArtifactStore", "AsyncArtifactStore"]

# A put that has not come to its end by then never will.
STAGED_MS = 3_600_000
# Stands for a digest that is not known yet where only the size is checked.
EMPTY_SHA256 = sha256_hex(b"")


class ArtifactStore:
    """What a worker reads and writes. It is not held to the admission limit: what was accepted must be able to end."""

    def __init__(self, redis: Redis, settings: StoreSettings | None = None) -> None:
        self._redis = redis
        self._settings = StoreSettings() if settings is None else settings

    def _execute(self, command: tuple[Any, ...]) -> Any:
        with translated():
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

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
        """Keep what `parts` yields, one after the other, and return digest and size; no more than a chunk is held here.

        Raises as `put` does; where `parts` raises, nothing is kept, and what was sent lapses.
        """
        upload_id, whole, size, digests = uuid.uuid4().hex, hashlib.sha256(), 0, b""
        for index, chunk in enumerate(rechunked(parts)):
            size += len(chunk)
            calls.check_declared(EMPTY_SHA256, size, media_type, self._settings.max_artifact_bytes)
            self._execute(("SET", calls.staged_key(tenant, upload_id, index), chunk, "PX", STAGED_MS))
            whole.update(chunk)
            digests += chunk_digest(chunk)
        sha256 = whole.hexdigest()
        calls.check_declared(sha256, size, media_type, self._settings.max_artifact_bytes)
        self._seal(tenant, upload_id, (sha256, size, media_type, digests, self._ttl_ms(ttl_s)))
        return sha256, size

    def _send(self, tenant: str, view: memoryview, sha256: str, media_type: str, ttl_ms: int) -> None:
        upload_id = uuid.uuid4().hex
        digests = b""
        for index, chunk in enumerate(chunks(view)):
            self._execute(("SET", calls.staged_key(tenant, upload_id, index), chunk, "PX", STAGED_MS))
            digests += chunk_digest(chunk)
        self._seal(tenant, upload_id, (sha256, len(view), media_type, digests, ttl_ms))

    def _seal(self, tenant: str, upload_id: str, what: tuple[Any, ...]) -> None:
        if self._execute(calls.function("artifact_seal", tenant, upload_id, *what)) == b"INCOMPLETE":
            raise Unavailable(f"the chunks of {what[0]} lapsed before all of them were sent; put it again")

    def get(self, tenant: str, sha256: str) -> bytes:
        """All bytes of an artifact. NotFound, DataLoss."""
        manifest = calls.manifest(sha256, self._execute(calls.read_manifest(tenant, sha256)))
        # One GET at a time: a pipeline makes the parser's buffer grow, and was slower in every measurement.
        keys = (calls.chunk_key(tenant, sha256, index) for index in range(manifest.chunks))
        return b"".join(manifest.check(index, self._execute(("GET", key))) for index, key in enumerate(keys))

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
