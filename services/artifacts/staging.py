"""Where the chunks of one upload go on their way through a gateway: into the store of jobs, or onto a shelf outside.

An upload goes on where it began, whatever this gateway is set to: its record says where that is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from services.artifacts import calls
from services.artifacts.calls import Staged
from services.artifacts.digest import CHUNK_BYTES
from services.artifacts.outside import Outside
from services.artifacts.shelves import Buffer, Shelf
from services.errors import Unavailable

Execute = Callable[[tuple[Any, ...]], Awaitable[Any]]
ExecuteAll = Callable[[list[tuple[Any, ...]]], Awaitable[list[Any]]]
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class Staging(Protocol):
    """What an upload needs of wherever its chunks go."""

    async def store(self, first: int, chunks: Sequence[tuple[bytes, Buffer]]) -> None:
        """Keep chunks from number `first` on, each behind its digest; they are on disk and counted when this returns.

        NotFound: the upload is gone. OutOfRange: another stream has counted others.
        """

    async def read(self, staged: Staged, index: int) -> bytes | None:
        """A chunk that was kept, unchecked; None where it is gone."""


class Inside:
    """Chunks and what is known about them go into the store of jobs in one step."""

    def __init__(self, tenant: str, upload_id: str, execute: Execute, execute_all: ExecuteAll) -> None:
        self._tenant, self._id = tenant, upload_id
        self._execute, self._execute_all = execute, execute_all

    async def store(self, first: int, chunks: Sequence[tuple[bytes, Buffer]]) -> None:
        """See `Staging`."""
        commands = [
            calls.function("upload_chunk", self._tenant, self._id, index, digest, chunk)
            for index, (digest, chunk) in enumerate(chunks, start=first)
        ]
        for reply in await self._execute_all(commands):
            calls.check_stored(self._id, reply)

    async def read(self, staged: Staged, index: int) -> bytes | None:  # noqa: ARG002 - a chunk has a key of its own
        """See `Staging`."""
        found: bytes | None = await self._execute(("GET", calls.staged_key(self._tenant, self._id, index)))
        return found


class OnShelf:
    """Parts go outside first, then they are counted."""

    def __init__(
        self, tenant: str, shelf: Shelf, execute_all: ExecuteAll, outside: Outside, in_thread: InThread
    ) -> None:
        self._tenant, self._id, self._store = tenant, shelf.id, shelf.store
        self._execute_all, self._outside, self._in_thread = execute_all, outside, in_thread

    async def store(self, first: int, chunks: Sequence[tuple[bytes, Buffer]]) -> None:
        """See `Staging`."""
        commands = []
        await self._in_thread(partial(self._outside.must_be, self._store))
        for start in range(0, len(chunks), self._outside.part_chunks):
            part = chunks[start : start + self._outside.part_chunks]
            digests = b"".join(digest for digest, _ in part)
            data = [chunk for _, chunk in part]
            await self._in_thread(partial(self._outside.put, self._tenant, self._id, first + start, digests, data))
            commands.append(calls.function("upload_part", self._tenant, self._id, first + start, digests))
        for reply in await self._execute_all(commands):
            calls.check_stored(self._id, reply)

    async def read(self, staged: Staged, index: int) -> bytes | None:
        """See `Staging`."""
        assert staged.shelf is not None, "an upload on a shelf says which"
        get = partial(self._outside.get, self._tenant, staged.shelf, staged.digests, index)
        found: bytes | None = await self._in_thread(get)
        # The last chunk may be shorter, which its part is, too.
        return None if found is None else found[: staged.size_bytes - index * CHUNK_BYTES]


def no_store_outside() -> Unavailable:
    """What is said of bytes outside where this process was told of no store there."""
    return Unavailable(
        "these bytes are in a store of artifacts that this process was not told of; give all gateways and workers the "
        "same SPARRING_ARTIFACTS",
        reason="ANOTHER_ARTIFACT_STORE",
    )
