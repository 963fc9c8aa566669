"""Previews on their way between gateways and workers: `PreviewBoard` for threads, `AsyncPreviewBoard` for asyncio.

A gateway pins a task up and waits for its answer; the next worker that is free takes it down. Both waits block on the
server, so both are made over connections of their own (`connect(settings, blocking=True)`). The keys are described at
the head of `functions/1_state.lua`. Every method may raise Unavailable.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import BinaryIO, TypeVar, cast

from services.connection import BLOCK_S, AsyncRedis, Redis, translated
from services.errors import ResourceExhausted, Unavailable
from services.jobs.calls import Call, function, key

T = TypeVar("T")

# An answer that nobody has taken by then is for nobody.
ANSWER_KEPT_MS = 10_000
# A previewer that has not been heard of for so long is gone.
HEARD_OF_MS = 15_000
RETRY_S = 0.5
# Deadline and length of a task that is handed from one process to another.
HEAD = struct.Struct("<qI")


@dataclass(frozen=True, kw_only=True)
class Posted:
    """A task taken down: a serialized `PreviewTask`, and when its gateway stops waiting, on the server's clock."""

    task: bytes
    deadline_ms: int

    def pack(self) -> bytes:
        """As one process hands it to another."""
        return HEAD.pack(self.deadline_ms, len(self.task)) + self.task

    @classmethod
    def read(cls, stream: BinaryIO) -> Posted:
        """The other way. EOFError: whoever was to write it has gone."""
        deadline_ms, length = HEAD.unpack(_exactly(stream, HEAD.size))
        return cls(task=_exactly(stream, length), deadline_ms=deadline_ms)


def _exactly(stream: BinaryIO, length: int) -> bytes:
    found = b""
    while len(found) < length:
        part = stream.read(length - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def _ask(preview_id: str, tenant: str, task: bytes, timeout_ms: int, most: int) -> Call[None]:
    def parse(reply: bytes) -> None:
        if reply == b"BUSY":
            raise ResourceExhausted(
                f"{most} previews of tenant {tenant!r} are under way, which is the most; wait for one of them",
                reason="TOO_MANY_PREVIEWS",
                retry_after_s=RETRY_S,
            )
        if reply == b"NOBODY":
            raise Unavailable("no worker listens, so nobody can answer a preview; start one", reason="NO_WORKER")

    return function("preview_ask", preview_id, tenant, task, timeout_ms, most, parse=parse)


def _posted(popped: tuple[bytes, bytes] | None) -> Posted | None:
    if popped is None:
        return None
    deadline, _, task = popped[1].partition(b" ")
    return Posted(task=task, deadline_ms=int(deadline))


class AsyncPreviewBoard:
    """A gateway's side."""

    def __init__(self, redis: AsyncRedis, blocking: AsyncRedis) -> None:
        self._redis, self._blocking = redis, blocking

    async def ask(self, preview_id: str, tenant: str, task: bytes, *, timeout_s: float, most: int) -> bytes | None:
        """Pin a task up and return its answer; None where there is none within `timeout_s`.

        `most`: previews that one tenant may have under way. ResourceExhausted TOO_MANY_PREVIEWS; Unavailable NO_WORKER.
        """
        give_up = time.monotonic() + timeout_s
        call = _ask(preview_id, tenant, task, round(timeout_s * 1000), most)
        with translated():
            call.parse(await self._redis.execute_command(*call.command))  # type: ignore[no-untyped-call]
            while (left_s := give_up - time.monotonic()) > 0:
                popped = await self._blocking.blpop([key(f"preview:{preview_id}")], timeout=min(left_s, BLOCK_S))
                if popped is not None:
                    return cast("bytes", popped[1])
        return None


class PreviewBoard:
    """A worker's side; one thread at a time."""

    def __init__(self, redis: Redis, blocking: Redis, name: str) -> None:
        """`name` is the previewer's own, of whoever waits or answers here."""
        self._redis, self._blocking, self._name = redis, blocking, name
        self._ahead_ms = 0.0
        self._listen_at = 0.0

    def wait_asleep(self, timeout_s: float = BLOCK_S) -> Posted | None:
        """Wait for a task that is to wake a previewer; None where none came."""
        return self._pop("asleep", timeout_s=timeout_s)

    def wait_awake(self, timeout_s: float = BLOCK_S) -> Posted | None:
        """Wait, as a previewer that runs, for a task of either kind; None where none came."""
        if time.monotonic() >= self._listen_at:
            self.listen()
        return self._pop("awake", "asleep", timeout_s=timeout_s)

    def listen(self) -> None:
        """Say that a previewer runs here, and learn the server's time; `wait_awake` repeats it in time."""
        now_ms = self._run(function("preview_listen", self._name, HEARD_OF_MS, parse=int))
        self._ahead_ms = now_ms - time.monotonic() * 1000
        self._listen_at = time.monotonic() + HEARD_OF_MS / 3000

    def late(self, posted: Posted) -> bool:
        """Whether nobody waits for this answer any more; known from `listen` on."""
        return time.monotonic() * 1000 + self._ahead_ms >= posted.deadline_ms

    def answer(self, preview_id: str, tenant: str, answer: bytes) -> None:
        """Hand an answer over; it is kept for ten seconds."""
        self._run(function("preview_answer", preview_id, tenant, answer, ANSWER_KEPT_MS, parse=bytes))

    def leave(self) -> None:
        """Say that the previewer ends; what waits for it wakes another."""
        self._run(function("preview_leave", self._name, parse=bytes))

    def hang_up(self) -> None:
        """Make a thread that waits here stop waiting, from another thread: it meets Unavailable."""
        self._blocking.connection_pool.disconnect()

    def _pop(self, *lists: str, timeout_s: float) -> Posted | None:
        with translated():
            popped = self._blocking.blpop([key(f"previews:{name}") for name in lists], timeout=timeout_s)
        return _posted(popped)  # type: ignore[arg-type]  # redis-py's types mix the two kinds of clients

    def _run(self, call: Call[T]) -> T:
        with translated():
            return call.parse(self._redis.execute_command(*call.command))  # type: ignore[no-untyped-call]
