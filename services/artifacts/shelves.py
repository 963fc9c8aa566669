"""Where bytes are that are kept outside of the store: shelves in a store of bytes, and what such a store must do.

    STORE         one folder, one place in a bucket, or one Redis; it has a marker that holds its id
    shelf         TENANT/UPLOAD: the bytes of one upload; declared in the store of jobs before its first byte is
                  written, never used again, see `jobs/functions/5_shelves.lua`
    part          FIRST-DIGEST: some chunks, one after the other; named by the first one and by all their digests, so
                  that two writers who differ never write over each other

The store of jobs alone says what counts: a part that it does not know is rubbish.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.artifacts.digest import CHUNK_BYTES, DIGEST_BYTES

Buffer = bytes | memoryview


@dataclass(frozen=True)
class Part:
    """Some chunks that were written together."""

    first: int
    chunks: int
    name: str


@dataclass(frozen=True)
class Shelf:
    """The shelf of an artifact or an upload: which store, which shelf, and the chunks of each part in their order."""

    store: str
    id: str
    counts: tuple[int, ...]

    @property
    def text(self) -> str:
        """What `parse` reads."""
        return f"{self.store}/{self.id}/{counts_text(self.counts)}"

    @classmethod
    def parse(cls, text: bytes) -> Shelf:
        """What a manifest says: STORE/UPLOAD/COUNT,COUNT,..."""
        store, shelf, counts = text.decode().split("/")
        return cls(store, shelf, tuple(int(count) for count in counts.split(",") if count))

    def parts(self, digests: bytes) -> Iterator[Part]:
        """The parts, by the digests of all chunks, joined."""
        first = 0
        for count in self.counts:
            yield Part(first, count, part_name(first, digests[first * DIGEST_BYTES : (first + count) * DIGEST_BYTES]))
            first += count

    def part(self, index: int, digests: bytes) -> Part:
        """The part that chunk `index` is in. StopIteration where there is none."""
        return next(part for part in self.parts(digests) if index < part.first + part.chunks)


def part_name(first: int, digests: bytes) -> str:
    """What a part is called that begins with chunk `first` and whose chunks have these digests, joined."""
    return f"{first}-{hashlib.sha256(digests).hexdigest()[:32]}"


def counts_text(counts: Sequence[int]) -> str:
    """The chunks of each part as a manifest names them."""
    return ",".join(map(str, counts))


def offset_in(part: Part, index: int) -> int:
    """Where a chunk begins in its part, in bytes."""
    return (index - part.first) * CHUNK_BYTES


class ByteStore(Protocol):
    """Keeps parts, for threads. What `put` has returned from is on disk; every method may raise Unavailable."""

    # The store as messages name it, without secrets, and the most chunks that go well into one part.
    shown: str
    part_chunks: int

    def marker(self) -> str | None:
        """The id that `mark` wrote; None where there is none."""

    def mark(self, text: str) -> None:
        """Write the id of this store, over another one."""

    def put(self, tenant: str, shelf: str, part: str, chunks: Sequence[Buffer]) -> None:
        """Write a part whole, over one that is there. ResourceExhausted: no room."""

    def get(self, tenant: str, shelf: str, part: str, start: int, size: int) -> bytes | None:
        """At most `size` bytes of a part from `start` on; None where it is not there."""

    def parts(self, tenant: str, shelf: str) -> list[str]:
        """Everything on a shelf, with what was left of a write that did not end."""

    def delete(self, tenant: str, shelf: str, parts: Collection[str]) -> None:
        """Take these away, and the shelf where nothing else is on it; what is not there is passed over."""

    def shelves(self) -> Iterator[tuple[str, str]]:
        """Every tenant and shelf that something is on; what comes or goes meanwhile may be missed."""

    def share(self, extra_bytes: int = 0) -> float:
        """The share of its room that is in use, with so many bytes more, 0 to 1; 0 where nobody knows a limit."""

    def close(self) -> None:
        """Close its connections."""
