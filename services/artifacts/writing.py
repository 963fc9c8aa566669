"""Writes what a worker puts, chunk by chunk: into the store of jobs, or in parts onto a shelf outside."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from services.artifacts import calls
from services.artifacts.outside import Outside
from services.artifacts.shelves import Buffer, counts_text

# A put that has not come to its end by then never will.
STAGED_MS = 3_600_000


class Writer:
    """One put into the store of jobs; `id` is what it is staged under."""

    def __init__(self, execute: Callable[[tuple[Any, ...]], Any], tenant: str) -> None:
        self.id = uuid.uuid4().hex
        self._execute, self._tenant = execute, tenant
        self._written = 0
        self._digests: list[bytes] = []

    def add(self, digest: bytes, chunk: Buffer) -> None:
        """Take the next chunk, whose digest this is."""
        key = calls.staged_key(self._tenant, self.id, self._written)
        self._execute(("SET", key, chunk, "PX", STAGED_MS))
        self._digests.append(digest)
        self._written += 1

    def end(self) -> tuple[bytes, str]:
        """Write what is still held; the digests of all chunks, joined, and how many chunks each part has, if any."""
        return b"".join(self._digests), ""


class PartsWriter(Writer):
    """One put onto a shelf, which is declared first; holds no more than a part."""

    def __init__(self, outside: Outside, execute: Callable[[tuple[Any, ...]], Any], tenant: str) -> None:
        super().__init__(execute, tenant)
        self.id = outside.begin(tenant)
        self._outside = outside
        self._held: list[Buffer] = []
        self._counts: list[int] = []

    def add(self, digest: bytes, chunk: Buffer) -> None:
        """See `Writer`."""
        self._digests.append(digest)
        self._held.append(chunk)
        if len(self._held) == self._outside.part_chunks:
            self._depart()

    def end(self) -> tuple[bytes, str]:
        """See `Writer`."""
        self._depart()
        return b"".join(self._digests), counts_text(self._counts)

    def _depart(self) -> None:
        count = len(self._held)
        if count > 0:
            first = self._written
            self._outside.put(self._tenant, self.id, first, b"".join(self._digests[first:]), self._held)
            self._counts.append(count)
            self._written += count
            self._held = []
