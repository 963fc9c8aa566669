"""A TCP proxy that misbehaves when told to: it cuts, delays, swallows one direction, or loses the answer to a request.

It runs on an event loop in a thread of its own, so that the test, the gateway and the workers go on whatever it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Direction = Literal["up", "down"]
READ_BYTES = 1 << 16


@dataclass(eq=False)
class Link:
    """One connection through the proxy; `up` leads to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    swallowed: set[Direction] = field(default_factory=set)
    delay_s: float = 0.0
    loses_answer: bool = False

    def cut(self) -> None:
        """Reset both sides."""
        for writer in (self.client, self.server):
            opened = writer.get_extra_info("socket")
            if opened is not None:
                with contextlib.suppress(OSError):
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Passes bytes between its own port and the server's. `lossy` says of a request whether its answer is lost."""

    def __init__(self, server_port: int, port: int) -> None:
        self.port, self._server_port = port, server_port
        self.done: Counter[str] = Counter()
        self.lossy: Callable[[bytes], bool] | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Listen, for a while."""
        self._thread.start()
        self._run(self._listen())
        try:
            yield self
        finally:
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    # What is done to the connections; each returns how many it was done to.

    def drop(self, rng: random.Random, share: float = 1.0) -> int:
        """Reset connections."""
        return self._do("drop", rng, share, self._cut)

    def delay(self, rng: random.Random, delay_s: float, for_s: float, share: float = 1.0) -> int:
        """Hold everything back for `delay_s`, both ways, during `for_s`."""
        return self._do("delay", rng, share, lambda link: self._later(self._slow(link, delay_s, for_s)))

    def half_open(self, rng: random.Random, direction: Direction, for_s: float, share: float = 1.0) -> int:
        """Swallow what goes one way during `for_s`; then reset, as nothing fits together any more."""
        return self._do("half-open", rng, share, lambda link: self._later(self._swallow(link, direction, for_s)))

    def lose_answer(self, matches: Callable[[bytes], bool]) -> None:
        """Of the next request that matches, by whomever: pass it on, and reset before its answer is passed back."""

        def once(request: bytes) -> bool:
            if not matches(request):
                return False
            self.lossy = None
            return True

        self.lossy = once

    def _do(self, what: str, rng: random.Random, share: float, act: Callable[[Link], None]) -> int:
        async def everywhere() -> int:
            links = sorted(self._links, key=lambda link: link.client.get_extra_info("peername") or ())
            chosen = [link for link in links if rng.random() < share]
            for link in chosen:
                act(link)
            return len(chosen)

        count = self._run(everywhere())
        self.done[what] += bool(count)
        return count

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # On the loop.

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)

    async def _end(self) -> None:
        self._server.close()
        for link in list(self._links):
            link.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, to_server)
        self._links.add(link)
        try:
            passing = [self._pass(link, "up", reader, to_server), self._pass(link, "down", from_server, writer)]
            tasks = [self._loop.create_task(work) for work in passing]
            _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._links.discard(link)
            for end in (writer, to_server):
                end.close()

    async def _pass(
        self, link: Link, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(READ_BYTES):
            if link.delay_s:
                await asyncio.sleep(link.delay_s)
            if direction in link.swallowed:
                continue
            if direction == "down" and link.loses_answer:
                self.done["answer lost"] += 1
                link.cut()
                return
            if direction == "up" and self.lossy is not None and self.lossy(data):
                link.loses_answer = True
            writer.write(data)
            await writer.drain()

    def _cut(self, link: Link) -> None:
        link.cut()

    async def _slow(self, link: Link, delay_s: float, for_s: float) -> None:
        link.delay_s = delay_s
        await asyncio.sleep(for_s)
        link.delay_s = 0.0

    async def _swallow(self, link: Link, direction: Direction, for_s: float) -> None:
        link.swallowed.add(direction)
        await asyncio.sleep(for_s)
        link.cut()
