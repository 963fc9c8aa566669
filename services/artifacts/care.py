"""What a gateway does for the store of bytes outside: looks whether it is there, and takes away what nobody needs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from services.artifacts.outside import TRUSTED_S, Outside
from services.artifacts.sweeping import Sweeper
from services.connection import Redis
from services.errors import SparringError

# A store that takes longer to show its marker does not answer. Below the patience that health has for everything.
PATIENCE_S = 2.0
PERIOD_S = 1.0
# How often a gateway looks at everything; what is found then was left by a process that was killed or frozen.
SCRUB_PERIOD_S = 86_400.0

logger = logging.getLogger(__name__)


class Care:
    """For one event loop; `redis` is a client of the store of jobs, for threads. Idle where nothing is outside."""

    def __init__(self, outside: Outside | None, redis: Redis) -> None:
        self._outside = outside
        self._sweeper = None if outside is None else Sweeper(outside, redis)
        self._look: asyncio.Task[None] | None = None

    async def problem(self) -> str | None:
        """What keeps the store from being used; None where all is well. One look at a time, however long it takes."""
        if self._outside is None:
            return None
        if self._look is None:
            self._look = asyncio.create_task(asyncio.to_thread(partial(self._outside.check, trusted_s=TRUSTED_S)))
        await asyncio.wait({self._look}, timeout=PATIENCE_S)
        if not self._look.done():
            return f"{self._outside.store.shown}, which keeps the artifacts, does not answer within {PATIENCE_S:g} s"
        look, self._look = self._look, None
        try:
            look.result()
        except SparringError as error:
            return error.message
        return None

    async def run(self, *, period_s: float = PERIOD_S, scrub_s: float = SCRUB_PERIOD_S) -> None:
        """Sweep until cancelled, and look at everything once in `scrub_s`; any number of gateways may do so."""
        loop = asyncio.get_running_loop()
        scrubbed_at = loop.time()
        while True:
            if self._sweeper is not None:
                await self._quietly(self._sweeper.sweep)
                if loop.time() - scrubbed_at >= scrub_s:
                    scrubbed_at = loop.time()
                    await self._quietly(self._sweeper.scrub)
            await asyncio.sleep(period_s)

    async def _quietly(self, call: Callable[[], object]) -> None:
        try:
            await asyncio.to_thread(call)
        except SparringError as error:
            logger.warning("bytes that nobody needs are not taken away now, but later: %s", error.message)
