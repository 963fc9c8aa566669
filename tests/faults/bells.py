"""Doorbells that are stolen, repeated and mixed up, on Celery's own list."""

from __future__ import annotations

import random
import threading
import time
from types import TracebackType
from typing import Self

from services.connection import Redis
from services.jobs import doorbell

KEY = doorbell.queue_key("cpu")
THIEVES = 48
# Until every worker has asked anew, behind the thieves.
SETTLE_S = 2.5


class Thieves:
    """Takes every bell before a worker can hear it, while it is entered.

    A blocked pop is served to whoever waits longest. Celery asks anew every second, the thieves never do, and there
    are more of them than bells in a second: so all bells go to them.
    """

    def __init__(self, redis: Redis) -> None:
        self.stolen: list[bytes] = []
        self._pool = redis.connection_pool
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._steal, name="thieves", daemon=True)

    def __enter__(self) -> Self:
        self._connections = [self._pool.get_connection() for _ in range(THIEVES)]
        for connection in self._connections:
            connection.send_command("BRPOP", KEY, 0)
        self._thread.start()
        time.sleep(SETTLE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take no more."""
        if self._enough.is_set():
            return
        self._enough.set()
        self._thread.join()
        for connection in self._connections:
            connection.disconnect()
            self._pool.release(connection)

    def _steal(self) -> None:
        while not self._enough.wait(0.01):
            for connection in self._connections:
                if connection.can_read(0):
                    self.stolen.append(connection.read_response()[1])
                    connection.send_command("BRPOP", KEY, 0)


class Echo:
    """Rings each bell ten times and in another order, while it is entered."""

    COPIES = 10

    def __init__(self, redis: Redis, bell: bytes, rng: random.Random) -> None:
        self.rung = 0
        self._redis, self._bell, self._rng = redis, bell, rng
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._ring, name="echo", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._thread.join()

    def _ring(self) -> None:
        while not self._enough.wait(0.05):
            waiting = [bell for bell in (self._redis.rpop(KEY) for _ in range(20)) if bell is not None]
            copies = self.COPIES * [*waiting, self._bell]
            self._rng.shuffle(copies)
            # Workers are not to be drowned: what they have not heard yet is enough.
            if self._redis.llen(KEY) < 10 * self.COPIES:
                self._redis.lpush(KEY, *copies)
                self.rung += len(copies)
