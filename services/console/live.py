"""Server-sent events: a stream that lives for as long as the page, and says so where the gateway does not answer.

event: lost       the gateway does not answer; the console looks again every second
event: status     how things stand, rendered; also says that the gateway answers again
event: log        one numbered event of a job; its id is what the browser sends as Last-Event-ID when it comes back
event: end        everything was sent; the browser closes the stream
event: gone       there is nothing to watch any more, or the key has ended; the browser closes the stream
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from sparring.errors import ServiceError
from sparring.resume import INTERRUPTIONS
from starlette.requests import Request
from starlette.responses import StreamingResponse

LOOK_AGAIN_S = 1.0
# A line that says nothing, so that both ends notice where the connection is dead.
SILENCE_S = 15.0
# Browsers come back so many milliseconds after a stream broke off.
RETRY_MS = 1000
WAITING_MESSAGES = 256

Emit = Callable[[str, Any, int | None], Awaitable[None]]
# Sends events until there is nothing more to say; raises ServiceError where the gateway goes away.
Producer = Callable[[Emit], Awaitable[None]]


def events(request: Request, produce: Producer) -> StreamingResponse:
    """Answer with a stream of what `produce` emits; it is called again after each outage of the gateway."""
    leaving: asyncio.Event = request.app.state.leaving
    return StreamingResponse(
        _lines(produce, leaving), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


async def _lines(produce: Producer, leaving: asyncio.Event) -> AsyncGenerator[str, None]:
    waiting: asyncio.Queue[str | None] = asyncio.Queue(WAITING_MESSAGES)

    async def emit(kind: str, data: Any, number: int | None = None) -> None:
        head = "" if number is None else f"id: {number}\n"
        # JSON holds no line break, so that one `data:` is the whole.
        await waiting.put(f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n")

    producing = asyncio.create_task(_persistently(produce, emit, waiting))
    departure = asyncio.create_task(leaving.wait())
    coming = asyncio.create_task(waiting.get())
    yield f"retry: {RETRY_MS}\n\n"
    try:
        while True:
            done, _ = await asyncio.wait({coming, departure}, timeout=SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
            if coming in done:
                line = coming.result()
                if line is None:
                    return
                coming = asyncio.create_task(waiting.get())
                yield line
            elif departure in done:
                return
            else:
                yield ": still here\n\n"
    finally:
        for task in (producing, departure, coming):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await producing


async def _persistently(produce: Producer, emit: Emit, waiting: asyncio.Queue[str | None]) -> None:
    try:
        while True:
            try:
                await produce(emit)
            except INTERRUPTIONS as error:
                await emit("lost", {"message": error.message}, None)
                await asyncio.sleep(LOOK_AGAIN_S)
            except ServiceError as error:
                await emit("gone", {"message": error.message, "code": error.code}, None)
                return
            else:
                return
    finally:
        # A full queue has a reader that will see the stream's end by itself.
        with contextlib.suppress(asyncio.QueueFull):
            waiting.put_nowait(None)
