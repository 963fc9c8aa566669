"""Reads chunks in threads, from wherever the manifest says that they are, and compares each with its digest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from services.artifacts import calls
from services.artifacts.calls import Manifest
from services.artifacts.digest import CHUNK_BYTES
from services.artifacts.outside import Outside
from services.artifacts.staging import no_store_outside
from services.connection import Redis, translated
from services.errors import DataLoss, NotFound, SparringError

# How often a reader looks where the bytes went that were moved under its hands.
MOVES = 3


class Reader:
    """For threads; `redis` is a client of the store of jobs."""

    def __init__(self, redis: Redis, outside: Outside | None) -> None:
        self._redis, self._outside = redis, outside

    def manifest(self, tenant: str, sha256: str) -> Manifest:
        """What is known about an artifact's bytes. NotFound."""
        return calls.manifest(sha256, self._execute(calls.read_manifest(tenant, sha256)))

    def chunk(self, tenant: str, manifest: Manifest, index: int) -> bytes:
        """One chunk. DataLoss: it is missing, or not what it was; Unavailable."""
        for _ in range(MOVES):
            data = self._read(tenant, manifest, index, 1)
            if data is not None:
                break
            now = self._again(tenant, manifest)
            if now.shelf == manifest.shelf:
                break
            manifest = now
        try:
            return manifest.check(index, data)
        except DataLoss:
            self._tell(tenant, manifest)
            raise

    def whole(self, tenant: str, manifest: Manifest) -> bytes:
        """All chunks, as `chunk` has them, each part by one request."""
        if manifest.shelf is None or self._outside is None:
            # One GET at a time: a pipeline makes the parser's buffer grow, and was slower in every measurement.
            return b"".join(self.chunk(tenant, manifest, index) for index in range(manifest.chunks))
        return b"".join(self._parts(tenant, manifest))

    def _parts(self, tenant: str, manifest: Manifest) -> Iterator[memoryview | bytes]:
        assert manifest.shelf is not None, "these have no parts"
        for part in manifest.shelf.parts(manifest.digests):
            data = self._read(tenant, manifest, part.first, part.chunks)
            for index in range(part.first, part.first + part.chunks):
                start = (index - part.first) * CHUNK_BYTES
                chunk = None if data is None else memoryview(data)[start : start + CHUNK_BYTES]
                try:
                    yield manifest.check(index, chunk)
                except DataLoss:
                    # It may have been moved away, or be told apart from its neighbours.
                    yield self.chunk(tenant, manifest, index)

    def _read(self, tenant: str, manifest: Manifest, index: int, chunks: int) -> bytes | None:
        """Chunks of one part, unchecked; None where they are missing."""
        if manifest.shelf is None:
            found: bytes | None = self._execute(("GET", calls.chunk_key(tenant, manifest.sha256, index)))
            return found
        if self._outside is None:
            raise no_store_outside()
        return self._outside.get(tenant, manifest.shelf, manifest.digests, index, chunks)

    def _tell(self, tenant: str, manifest: Manifest) -> None:
        """Have it known that bytes are lost, so that whoever has them may bring them again."""
        where = "" if manifest.shelf is None else manifest.shelf.text
        with suppress(SparringError):
            self._execute(calls.function("artifact_lost", tenant, manifest.sha256, where))

    def _again(self, tenant: str, manifest: Manifest) -> Manifest:
        """The manifest as it is now; the same where the artifact was deleted."""
        try:
            return self.manifest(tenant, manifest.sha256)
        except NotFound:
            return manifest

    def _execute(self, command: tuple[Any, ...]) -> Any:
        with translated():
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
