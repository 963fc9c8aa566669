"""The stream of WatchJob: events in their order, a heartbeat where nothing happens, an end after 15 minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from sparring.v1 import jobs_pb2

from services import faultpoints
from services.errors import OutOfRange
from services.gateway import events
from services.gateway.tasks import end
from services.jobs.record import Event
from services.jobs.store import AsyncJobStore
from services.jobs.watch import Watcher


def _uncounted() -> None:
    """Until somebody counts."""


@dataclass(frozen=True)
class Streams:
    """Serves the watchers of one gateway."""

    store: AsyncJobStore
    watcher: Watcher
    heartbeat_s: float = 15.0
    # Abandoned calls are not always cancelled (github.com/grpc/grpc/issues/43462), so every stream ends by itself.
    longest_s: float = 15 * 60.0
    # Set when the gateway drains: every stream ends, and its client asks the next gateway.
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    # Called for each event that was sent.
    sent: Callable[[], None] = _uncounted

    async def watch(self, tenant: str, job_id: str, after: int) -> AsyncGenerator[jobs_pb2.WatchJobResponse]:
        """Yield what happened after event `after`, until the job has ended or the stream has to."""
        record = await self.store.get(tenant, job_id)
        if after > record.last_event:
            raise OutOfRange(f"jobs/{job_id} has {record.last_event} events, there is none after {after}")
        deadline, left_out = time.monotonic() + self.longest_s, True
        while left_out:
            left_out = False
            async with aclosing(self._paced(self.watcher.follow(job_id, after), deadline)) as paced:
                async for event in paced:
                    if event is None:
                        yield events.heartbeat(after)
                    elif event.type == "gap":
                        # The job as it stands stands for everything up to its last event, not only for what is lost:
                        # what is still held before that need not be read.
                        record = await self.store.get(tenant, job_id)
                        after, left_out = record.last_event, True
                        yield events.snapshot(record)
                        break
                    elif event.id > after:
                        after = event.id
                        yield events.response(event)
                        self.sent()
                        faultpoints.reach("gateway.event_sent")

    async def _paced(self, following: AsyncGenerator[Event], deadline: float) -> AsyncGenerator[Event | None]:
        """Yield the events, and None whenever none came for a heartbeat's time; end when time is up or on a drain."""
        drained = asyncio.ensure_future(self.draining.wait())
        coming: asyncio.Future[Event] | None = None
        try:
            while (left := deadline - time.monotonic()) > 0:
                if coming is None:
                    coming = asyncio.ensure_future(anext(following))
                waited_for = (coming, drained)
                done, _ = await asyncio.wait(
                    waited_for, timeout=min(self.heartbeat_s, left), return_when=asyncio.FIRST_COMPLETED
                )
                if drained in done:
                    return
                if coming in done:
                    event, coming = coming.result(), None
                    yield event
                elif left > self.heartbeat_s:
                    yield None
        except StopAsyncIteration:
            return
        finally:
            await end([drained] if coming is None else [drained, coming])
            await following.aclose()
