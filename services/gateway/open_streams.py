"""The streams that are open: so many for each tenant, ended when their key ends or when they stand still.

A stream is cancelled from outside by the timeout that it runs under, so it ends wherever it waits: for an event, for
the client's next message, or for a client that does not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from services.errors import DeadlineExceeded, ResourceExhausted, SparringError

T = TypeVar("T")

# The longest that a client may take to send its next message, or to take the one that it is sent.
IDLE_S = 60.0
RETRY_S = 5.0
# The part of a tenant's streams that may be uploads and downloads. Measured with readers that do not read: each keeps
# 2.3 MiB of the gateway's memory busy, in messages that wait.
TRANSFERS = 0.25


class OpenStream:
    """One stream; every message of it passes through `receive` or `send`."""

    def __init__(self, limit: asyncio.Timeout, recheck: Callable[[], None], *, transfers: bool) -> None:
        self._limit = limit
        self._recheck = recheck
        self.refused: SparringError | None = None
        self.transfers = transfers

    def recheck(self) -> None:
        """End the stream if its caller may not go on."""
        if self.refused is not None:
            return
        try:
            self._recheck()
        except SparringError as error:
            self.refused = error
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def receive(self, coming: Awaitable[T]) -> T:
        """Wait for the client's next message."""
        return await self._pass(coming, "nothing was sent for {:g} s; what came before is kept, so go on from there")

    async def send(self, going: Awaitable[T]) -> T:
        """Wait until the client has taken a message."""
        return await self._pass(going, "nothing was read for {:g} s; ask again from where you stand")

    async def _pass(self, moving: Awaitable[T], standing_still: str) -> T:
        try:
            async with asyncio.timeout(IDLE_S) as idle:
                done = await moving
        except TimeoutError:
            if idle.expired():
                raise DeadlineExceeded(standing_still.format(IDLE_S)) from None
            raise
        if self.refused is not None:
            # redis-py may lose the cancellation (see `tasks`); the next message does not.
            raise self.refused
        return done


class OpenStreams:
    """Those of one gateway, at most `most` of one tenant, and of these a part for bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_transfers = max(1, int(most * TRANSFERS))
        self._open: dict[str, set[OpenStream]] = {}

    @asynccontextmanager
    async def opened(
        self, tenant: str, recheck: Callable[[], None], *, transfers: bool = False
    ) -> AsyncIterator[OpenStream]:
        """Count a stream for as long as the block lasts; what `recheck` raises meanwhile ends the block.

        ResourceExhausted TOO_MANY_STREAMS.
        """
        others = self._open.setdefault(tenant, set())
        if len(others) >= self._most:
            raise _too_many("streams", tenant, self._most)
        if transfers and sum(stream.transfers for stream in others) >= self._most_transfers:
            raise _too_many("uploads and downloads", tenant, self._most_transfers)
        limit = asyncio.timeout(None)
        stream = OpenStream(limit, recheck, transfers=transfers)
        others.add(stream)
        try:
            async with limit:
                yield stream
        except TimeoutError:
            if stream.refused is not None and limit.expired():
                raise stream.refused from None
            raise
        finally:
            others.discard(stream)
            if not others:
                del self._open[tenant]

    def recheck(self) -> None:
        """Look at the caller of every stream again."""
        for streams in list(self._open.values()):
            for stream in list(streams):
                stream.recheck()


def _too_many(what: str, tenant: str, most: int) -> ResourceExhausted:
    message = f"{most} {what} of tenant {tenant!r} are open, which is the most; end some or come back"
    return ResourceExhausted(message, reason="TOO_MANY_STREAMS", retry_after_s=RETRY_S)
