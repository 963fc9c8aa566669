"""One upload on its way: bytes in any pieces come in, whole chunks go to the store.

While chunks are under way the next ones gather, and go together: they share the store's fsync. The SHA-256 of the
whole grows with the chunks. What was staged by another gateway is read again to catch up with it.
"""

from __future__ import annotations

import asyncio
import hashlib

from services.artifacts import calls
from services.artifacts.calls import Staged
from services.artifacts.digest import CHUNK_BYTES, chunk_digest
from services.artifacts.staging import Staging
from services.errors import DataLoss, OutOfRange

# Chunks that may wait for the store, besides as many that are under way.
GATHERED = 4


class Upload:
    """The state of one upload in one gateway."""

    def __init__(self, tenant: str, upload_id: str, staged: Staged, staging: Staging) -> None:
        self.tenant, self.id = tenant, upload_id
        self.staged = staged
        self.sent_chunks = staged.chunks
        self.lock = asyncio.Lock()
        # Another gateway may have left parts on its shelf that count for nothing; so may this one, before it forgot.
        self.resumed = False
        # A chunk was not stored; only the store knows how many are.
        self.broken = False
        self._staging = staging
        self._hash = hashlib.sha256()
        self._digests = staged.digests
        self._rest = bytearray()
        self._gathered: list[tuple[bytes, bytes | memoryview]] = []  # a chunk behind its digest
        self._under_way: asyncio.Task[None] | None = None

    async def catch_up(self) -> None:
        """Take the chunks that are staged already into the hash. DataLoss where one is gone."""
        self.resumed = True
        manifest = calls.Manifest(
            sha256=self.staged.sha256, size_bytes=self.staged.committed_bytes, digests=self.staged.digests
        )
        for index in range(self.staged.chunks):
            data = await self._staging.read(self.staged, index)
            await asyncio.to_thread(self._hash.update, manifest.check(index, data))

    @property
    def position(self) -> int:
        """Bytes taken so far, committed or not."""
        return min(self.sent_chunks * CHUNK_BYTES, self.staged.size_bytes) + len(self._rest)

    def follows(self, offset: int) -> bool:
        """Whether bytes at `offset` are the next ones, or those after the last whole chunk."""
        return offset in {self.position, self.position - len(self._rest)}

    async def append(self, offset: int, data: bytes) -> None:
        """Take the bytes at `offset`. OutOfRange."""
        if not self.follows(offset):
            raise OutOfRange(f"the next byte is {self.position - len(self._rest)}, not {offset}; go on from there")
        if offset != self.position:
            self._rest.clear()
        size_bytes = self.staged.size_bytes
        if offset + len(data) > size_bytes:
            raise OutOfRange(f"{offset + len(data)} bytes came, {size_bytes} were declared")
        view = memoryview(data)
        while view:
            missing = min(CHUNK_BYTES, size_bytes - self.sent_chunks * CHUNK_BYTES) - len(self._rest)
            piece, view = view[:missing], view[missing:]
            if len(piece) < missing:
                self._rest += piece
            else:
                await self._send(bytes(self._rest) + piece if self._rest else piece)

    async def _send(self, chunk: bytes | memoryview) -> None:
        """Gather a chunk, and start to store what has gathered unless the store is busy with the chunks before."""
        if len(self._gathered) == GATHERED:
            await self._landed()
            self._depart()
        self._gathered.append((await asyncio.to_thread(self._digest, chunk), chunk))
        self._rest.clear()
        self.sent_chunks += 1
        if self._under_way is None or self._under_way.done():
            await self._landed()
            self._depart()

    def _depart(self) -> None:
        """Start to store what has gathered; nothing else is under way."""
        chunks, self._gathered = self._gathered, []
        if chunks:
            self._under_way = asyncio.create_task(self._store(self.sent_chunks - len(chunks), chunks))

    async def _store(self, first: int, chunks: list[tuple[bytes, bytes | memoryview]]) -> None:
        await self._staging.store(first, chunks)
        self._digests += b"".join(digest for digest, _ in chunks)

    def _digest(self, chunk: bytes | memoryview) -> bytes:
        self._hash.update(chunk)
        return chunk_digest(chunk)

    async def _landed(self) -> None:
        """Wait for what is under way, and raise what became of it."""
        if self._under_way is not None:
            task, self._under_way = self._under_way, None
            self.broken = True
            await task
            self.broken = False

    async def flush(self) -> None:
        """Wait until everything that was gathered is stored."""
        await self._landed()
        self._depart()
        await self._landed()

    async def whole(self) -> bytes:
        """The digests of all chunks, once every byte has come and the whole is what was declared."""
        await self.flush()
        if self.position != self.staged.size_bytes:
            raise OutOfRange(f"{self.position} bytes came, {self.staged.size_bytes} were declared; send the rest")
        if self._hash.hexdigest() != self.staged.sha256:
            raise DataLoss(f"the bytes do not have the SHA-256 that was declared, {self.staged.sha256}; start again")
        return self._digests

    def abandon(self) -> None:
        """Stop the chunk that is under way; nobody waits for it any more."""
        if self._under_way is not None:
            self._under_way.cancel()
