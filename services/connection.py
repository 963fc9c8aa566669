"""The one door to Redis: how connections are made, and what their errors mean to the rest.

Commands answer within 5 s and are tried three times more, because everything sent through them is idempotent.
A blocking connection waits on the server for at most `BLOCK_S`, and is never retried in here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from redis import Redis, exceptions
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from services.errors import ResourceExhausted, Unavailable
from services.settings import StoreSettings

__all__ = ["BLOCK_S", "AsyncRedis", "MemoryGauge", "Redis", "connect", "connect_async", "translated", "unless_error"]

# The longest that a command may block on the server.
BLOCK_S = 5.0
COMMAND_TIMEOUT_S = 5.0
# The options of a client that say how long it waits.
PATIENCE = ("socket_timeout", "socket_connect_timeout")
RETRIES = 3
# Connections of one asyncio client; commands beyond them wait for one, as long as a command may take.
POOL_SIZE = 64
# New work and new bytes are refused above this share of the memory: what was accepted needs the rest to finish.
ADMISSION_LIMIT = 0.8
# What a function says of a command or a key that the access list keeps from its caller.
DENIED = ("executing the script can't", "ACL failure in script")


def connect(settings: StoreSettings, *, blocking: bool = False, patience_s: float | None = None) -> Redis:
    """A client for threads; nothing is sent before its first command.

    With `patience_s` a command is tried once, and answered in so many seconds or not at all.
    """
    if patience_s is not None:
        impatient = _options(settings, blocking=False) | dict.fromkeys(PATIENCE, patience_s)
        return Redis.from_url(settings.redis_url, retry=Retry(NoBackoff(), 0), **impatient)
    retry = Retry(NoBackoff(), 0) if blocking else Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), RETRIES)
    return Redis.from_url(settings.redis_url, retry=retry, **_options(settings, blocking=blocking))


def connect_async(settings: StoreSettings, *, blocking: bool = False) -> AsyncRedis:
    """The same for asyncio."""
    backoff = NoBackoff() if blocking else ExponentialWithJitterBackoff(base=0.05, cap=1.0)
    retry = AsyncRetry(backoff, 0 if blocking else RETRIES)
    pool = BlockingConnectionPool.from_url(
        settings.redis_url,
        max_connections=POOL_SIZE,
        timeout=COMMAND_TIMEOUT_S,
        retry=retry,
        **_options(settings, blocking=blocking),
    )
    return AsyncRedis.from_pool(pool)


def _options(settings: StoreSettings, *, blocking: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": COMMAND_TIMEOUT_S + (BLOCK_S if blocking else 0.0),
        "socket_connect_timeout": COMMAND_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "client_name": "sparring-blocking" if blocking else "sparring",
        "decode_responses": False,
        "protocol": 2,
        "socket_read_size": 1 << 18,
    }
    if settings.redis_password is not None:
        options["password"] = settings.redis_password
    return options


@contextmanager
def translated() -> Iterator[None]:
    """Turn what Redis says into what clients understand: full, or not to be reached."""
    try:
        yield
    except exceptions.OutOfMemoryError as error:
        raise ResourceExhausted("the store is full; delete artifacts or wait until some lapse") from error
    except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError, OSError) as error:
        raise Unavailable(f"the store can't be reached: {error}") from error
    except exceptions.ResponseError as error:
        raise _of_response(error) from error


def unless_error(replies: list[Any]) -> list[Any]:
    """Return the replies of a pipeline; raises the first error among them, in the words of a single command.

    For `execute(raise_on_error=False)`: what redis-py raises by itself begins with the whole command.
    """
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _of_response(error: exceptions.ResponseError) -> Exception:
    text = str(error)
    # A function that runs out of memory half-way wraps the server's own error in a sentence.
    if "OOM" in text:
        return ResourceExhausted("the store is full; delete artifacts or wait until some lapse")
    if text.startswith(("MISCONF", "MASTERDOWN", "NOREPLICAS")):
        return Unavailable(f"the store takes no writes: {text}")
    if "Function not found" in text:
        return Unavailable("the store's functions are not loaded yet", reason="FUNCTIONS_MISSING")
    # An access list is written by people, who may be about to correct it. The words are Redis' and Valkey's own.
    if isinstance(error, exceptions.NoPermissionError) or any(words in text for words in DENIED):
        return Unavailable(f"the store's access list does not allow it: {text}", reason="STORE_DENIES")
    return error


class MemoryGauge:
    """How full the store is, from INFO MEMORY at most once a second; whoever holds the connection does the reading."""

    def __init__(self, settings: StoreSettings) -> None:
        self._set_limit_bytes = settings.redis_memory_bytes
        self._limit_bytes = 0
        self._used_bytes = 0
        self._read_at_s = -math.inf

    def due(self) -> bool:
        """Whether it is time to read again; says so to one caller only."""
        now_s = time.monotonic()
        if now_s - self._read_at_s < 1.0:
            return False
        self._read_at_s = now_s
        return True

    def note(self, info: Mapping[str, Any]) -> None:
        """Take an answer of INFO MEMORY."""
        maxmemory = int(info["maxmemory"])
        self._limit_bytes = maxmemory if maxmemory > 0 else self._set_limit_bytes
        self._used_bytes = int(info["used_memory"])

    def share(self, extra_bytes: int = 0) -> float:
        """The share of the limit that is in use, with so many bytes more; 0 where there is no limit."""
        return (self._used_bytes + extra_bytes) / self._limit_bytes if self._limit_bytes else 0.0

    def admit(self, extra_bytes: int = 0) -> None:
        """Refuse what would fill the store too far."""
        if self.share(extra_bytes) > ADMISSION_LIMIT:
            raise ResourceExhausted(
                f"the store is {self.share():.0%} full and takes new work up to {ADMISSION_LIMIT:.0%}; "
                "delete artifacts or wait until some lapse"
            )
