"""Following jobs: one blocking connection of a gateway serves all its watchers.

A follower first reads what is stored, then is told what comes. Events are numbered without gaps, so it sees at once
when something did not reach it (it was slow, the connection broke) and reads that from the store; a slow follower
holds back nobody and at most `QUEUED` events.

    {sparring}:wake:ID   STREAM   of one watcher: an entry makes it look at its list of jobs again
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from services.connection import BLOCK_S, AsyncRedis, translated
from services.errors import Unavailable
from services.jobs import calls, parsing
from services.jobs.record import Event
from services.jobs.states import TERMINAL

logger = logging.getLogger(__name__)

BATCH = 200
QUEUED = 256
WAKE_KEPT_S = 3600
# Before a broken connection is tried again.
PAUSE_S = 0.2


class _Follower:
    """A bounded queue of events; None stands for "something was left out, look into the store"."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(QUEUED)

    def tell(self, event: Event | None) -> None:
        """Queue an event; where there is no room, leave all of them out."""
        if event is None or self._events.full():
            while not self._events.empty():
                self._events.get_nowait()
            event = None
        self._events.put_nowait(event)

    async def next(self) -> Event | None:
        """The next event."""
        return await self._events.get()


class Watcher:
    """Follows any number of jobs over one connection, which `connect_async(settings, blocking=True)` makes."""

    def __init__(self, redis: AsyncRedis) -> None:
        self._redis = redis
        self._followers: defaultdict[str, set[_Follower]] = defaultdict(set)
        # Number of the last event of each followed job that this connection has seen.
        self._seen: dict[str, int] = {}
        self._wake_key = calls.key(f"wake:{uuid.uuid4().hex}")
        self._wake_id = "0-0"
        self._reader: asyncio.Task[None] | None = None

    async def follow(self, job_id: str, after: int) -> AsyncGenerator[Event]:
        """Yield the events after number `after`, up to the one that ends the job for the time being.

        An event of type `gap` says that those up to its number are no longer held. Unavailable.
        """
        while True:
            while events := await self._run(calls.events(job_id, after, BATCH)):
                for event in events:
                    if event.id > after + 1:
                        yield Event(id=event.id - 1, time_ms=event.time_ms, type="gap", payload={})
                    yield event
                    after = event.id
            if await self._over(job_id, after):
                return
            async with aclosing(self._live(job_id, after)) as coming:
                async for event in coming:
                    yield event
                    after = event.id

    async def aclose(self) -> None:
        """Stop; what still follows is not told anything any more."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        with translated():
            await self._redis.unlink(self._wake_key)

    async def _live(self, job_id: str, after: int) -> AsyncGenerator[Event]:
        """Yield the events that come, until one is missing or may be the last."""
        with self._following(job_id, after) as follower:
            await self._wake()
            while (event := await follower.next()) is not None:
                if event.id == after + 1:
                    yield event
                    after = event.id
                    if _ends(event):
                        return
                elif event.id > after:
                    return

    @contextmanager
    def _following(self, job_id: str, after: int) -> Iterator[_Follower]:
        follower = _Follower()
        self._followers[job_id].add(follower)
        if self._seen.setdefault(job_id, after) > after:
            follower.tell(None)
        try:
            yield follower
        finally:
            self._followers[job_id].discard(follower)
            if not self._followers[job_id]:
                del self._followers[job_id], self._seen[job_id]

    async def _run(self, call: calls.Call[Any]) -> Any:
        with translated():
            return call.parse(await self._redis.execute_command(*call.command))  # type: ignore[no-untyped-call]

    async def _over(self, job_id: str, after: int) -> bool:
        """Whether nothing is to come: the last event ended the job, or the job is forgotten."""
        with translated():
            last: Any = await self._redis.xrevrange(calls.key(f"ev:{job_id}"), count=1)
        if not last:
            return True
        event = parsing.event(last[0])
        return event.id <= after and _ends(event)

    async def _wake(self) -> None:
        """Make the reader look at the list of jobs again, or start it."""
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
            return
        with translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.xadd(self._wake_key, {"w": b""}, maxlen=1)
                pipe.expire(self._wake_key, WAKE_KEPT_S)
                await pipe.execute()

    async def _read(self) -> None:
        while self._followers:
            try:
                await self._read_once()
            except Unavailable as error:
                logger.warning("watching was interrupted: %s", error.message)
                # They look into the store themselves, and tell their clients if it can't be reached.
                for followers in self._followers.values():
                    for follower in followers:
                        follower.tell(None)
                await asyncio.sleep(PAUSE_S)

    async def _read_once(self) -> None:
        streams: dict[Any, Any] = {calls.key(f"ev:{job_id}"): f"{seen}-0" for job_id, seen in self._seen.items()}
        streams[self._wake_key] = self._wake_id
        with translated():
            answer: Any = await self._redis.xread(streams, count=BATCH, block=round(BLOCK_S * 1000))
        for key, entries in answer:
            if key == self._wake_key.encode():
                self._wake_id = entries[-1][0].decode()
            else:
                self._spread(key.decode().removeprefix(calls.key("ev:")), [parsing.event(entry) for entry in entries])

    def _spread(self, job_id: str, events: list[Event]) -> None:
        # Whoever followed it may have left while the answer was on its way.
        if job_id in self._seen:
            self._seen[job_id] = events[-1].id
            for follower in self._followers[job_id]:
                for event in events:
                    follower.tell(event)


def _ends(event: Event) -> bool:
    return event.type == "state" and event.payload["state"] in TERMINAL
