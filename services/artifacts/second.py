"""Bytes in a second Redis, so that the one of the jobs stays small.

    sparring:store                    STRING  the marker
    sparring:bytes:TENANT/SHELF       HASH    its parts

A part is one chunk, so that no value is larger than those of the first Redis.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from services.artifacts.shelves import Buffer
from services.connection import MemoryGauge, connect, translated
from services.errors import ResourceExhausted, Unavailable
from services.settings import BytesSettings, StoreSettings

MARKER = "sparring:store"
PREFIX = "sparring:bytes:"


def as_store(settings: BytesSettings) -> StoreSettings:
    """How that Redis is connected to."""
    return StoreSettings(settings.url, redis_password=settings.password, redis_memory_bytes=settings.memory_bytes)


class SecondRedis:
    """A `ByteStore` in a Redis of its own."""

    part_chunks = 1

    def __init__(self, settings: BytesSettings) -> None:
        parts = urlsplit(settings.url)
        self.shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        store = as_store(settings)
        self._redis = connect(store)
        self._gauge = MemoryGauge(store)

    def marker(self) -> str | None:
        """See `ByteStore`."""
        found = self._execute("GET", MARKER)
        return None if found is None else found.decode()

    def mark(self, text: str) -> None:
        """See `ByteStore`."""
        self._execute("SET", MARKER, text)

    def put(self, tenant: str, shelf: str, part: str, chunks: Sequence[Buffer]) -> None:
        """See `ByteStore`."""
        whole = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._execute("HSET", f"{PREFIX}{tenant}/{shelf}", part, whole)

    def get(self, tenant: str, shelf: str, part: str, start: int, size: int) -> bytes | None:
        """See `ByteStore`."""
        found: bytes | None = self._execute("HGET", f"{PREFIX}{tenant}/{shelf}", part)
        return found if found is None or (start, len(found)) == (0, size) else found[start : start + size]

    def parts(self, tenant: str, shelf: str) -> list[str]:
        """See `ByteStore`."""
        return [name.decode() for name in self._execute("HKEYS", f"{PREFIX}{tenant}/{shelf}")]

    def delete(self, tenant: str, shelf: str, parts: Collection[str]) -> None:
        """See `ByteStore`."""
        if parts:
            self._execute("HDEL", f"{PREFIX}{tenant}/{shelf}", *parts)

    def shelves(self) -> Iterator[tuple[str, str]]:
        """See `ByteStore`."""
        cursor = 0
        while True:
            cursor, keys = self._execute("SCAN", cursor, "MATCH", f"{PREFIX}*", "COUNT", 1000)
            for name in keys:
                tenant, _, shelf = name.decode().removeprefix(PREFIX).partition("/")
                yield tenant, shelf
            if int(cursor) == 0:
                return

    def share(self, extra_bytes: int = 0) -> float:
        """See `ByteStore`."""
        if self._gauge.due():
            with self._named(), translated():
                self._gauge.note(self._redis.info("memory"))
        return self._gauge.share(extra_bytes)

    def close(self) -> None:
        """See `ByteStore`."""
        self._redis.close()

    def _execute(self, *command: Any) -> Any:
        with self._named(), translated():
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say which of the two it was."""
        try:
            yield
        except Unavailable as error:
            raise Unavailable(
                f"{self.shown}, which keeps the artifacts: {error.message}", reason=error.reason
            ) from error
        except ResourceExhausted as error:
            raise ResourceExhausted(f"{self.shown}, which keeps the artifacts: {error.message}") from error
