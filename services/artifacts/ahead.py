"""Chunks that are fetched ahead of who reads them, as many as all readers together may have."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor

# Chunks that one download has fetched ahead, if the others leave it so many; and chunks ahead of all downloads
# together, so that many readers who are slow do not fill the memory.
AHEAD = 2
AHEAD_OF_ALL = 16
# A reader who takes longer for a piece has nothing fetched ahead.
QUICK_S = 0.25
# What a reader is handed at a time, and the transport may copy.
PIECE_BYTES = 1 << 18


class Ahead:
    """Shares `AHEAD_OF_ALL` among the readers of one event loop; `threads` fetch."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self.left = AHEAD_OF_ALL

    async def chunks(self, fetch: Callable[[int], bytes], indices: range) -> AsyncGenerator[tuple[int, bytes], None]:
        """While one chunk is with the caller, the next ones are fetched."""
        loop = asyncio.get_running_loop()
        coming: deque[tuple[int, asyncio.Future[bytes]]] = deque()
        ahead = self._may_fetch(0, quick=True)
        try:
            for index in indices:
                coming.append((index, loop.run_in_executor(self._threads, fetch, index)))
                while len(coming) > ahead:
                    number, chunk = coming.popleft()
                    data, given_at = await chunk, loop.time()
                    yield number, data
                    pieces = -(-len(data) // PIECE_BYTES)
                    ahead = self._may_fetch(ahead, quick=loop.time() - given_at < QUICK_S * pieces)
            while coming:
                number, chunk = coming.popleft()
                yield number, await chunk
        finally:
            self.left += ahead
            for _, chunk in coming:
                chunk.cancel()

    def _may_fetch(self, before: int, *, quick: bool) -> int:
        """Give back what a reader had ahead, and say how many chunks it may have from now on."""
        self.left += before
        ahead = min(AHEAD, self.left) if quick else 0
        self.left -= ahead
        return ahead
