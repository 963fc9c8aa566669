"""Takes away bytes outside that nobody needs: those of the list of the discarded, and whatever a crash has left.

The store of jobs changes first, in one step that also puts a shelf on the list; its bytes go later, and then it leaves
the list. Whoever is killed in between, the next one does the rest. A shelf is declared before its first byte is written
and never used again, so one that the store of jobs does not name is rubbish at any moment: no age, no lock, no pause.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from services import faultpoints
from services.artifacts import calls
from services.artifacts.outside import Outside
from services.artifacts.shelves import Shelf
from services.connection import Redis, translated
from services.jobs.calls import key

# Shelves of one round, of which there is one in a second.
AT_ONCE = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scrubbed:
    """What a look at everything has found and taken away."""

    shelves: int
    parts: int


class Sweeper:
    """For threads; `redis` is a client of the store of jobs."""

    def __init__(self, outside: Outside, redis: Redis) -> None:
        self._outside, self._redis = outside, redis

    def sweep(self, limit: int = AT_ONCE) -> int:
        """Take away the bytes of at most `limit` discarded shelves, those that waited longest; how many it were."""
        store = self._outside.id()
        members: list[bytes] = self._execute(("ZRANGE", key(f"discarded:{store}"), 0, limit - 1))
        for member in members:
            tenant, _, shelf = member.decode().partition("/")
            seen, _ = self._tidy(tenant, shelf)
            faultpoints.reach("artifacts.bytes_deleted")
            self._execute(calls.function("shelf_swept", store, tenant, shelf, seen))
        return len(members)

    def scrub(self) -> Scrubbed:
        """Look at every shelf that there is, and take away what nobody needs."""
        self._outside.check()
        shelves = parts = 0
        for tenant, shelf in self._outside.store.shelves():
            seen, deleted = self._tidy(tenant, shelf)
            shelves += seen == b"GONE"
            parts += deleted
        logger.info("all shelves were looked at: %d that nobody needs, %d parts taken away", shelves, parts)
        return Scrubbed(shelves, parts)

    def _tidy(self, tenant: str, shelf: str) -> tuple[bytes, int]:
        """Take from a shelf what its artifact does not need; in which state it was, and how many parts went.

        What is there is listed before the state is read: a part that is written later is not in the list.
        """
        there = self._outside.store.parts(tenant, shelf)
        seen, *what = self._execute(calls.function("shelf_state", tenant, shelf))
        if seen == b"OPEN":
            return seen, 0
        needed: set[str] = set()
        if seen == b"LIVE":
            digests, text = what
            needed = {part.name for part in Shelf.parse(text).parts(digests)}
        rubbish = [part for part in there if part not in needed]
        if rubbish or seen == b"GONE":
            self._outside.store.delete(tenant, shelf, rubbish)
        return seen, len(rubbish)

    def _execute(self, command: tuple[Any, ...]) -> Any:
        with translated():
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
