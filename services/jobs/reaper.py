"""What every gateway does once a second: take back leases, end what is overdue, forget what is over, ring.

Any number of them may run; each step is one atomic call, and finds nothing where another was faster.
"""

from __future__ import annotations

import asyncio
import logging

from services import faultpoints
from services.errors import SparringError
from services.jobs.aio import AsyncJobStore
from services.jobs.doorbell import LANES

logger = logging.getLogger(__name__)


async def sweep(store: AsyncJobStore, limit: int = 100) -> None:
    """One round, at most `limit` of everything."""
    reaped = await store.reap(limit)
    if reaped or reaped.overdue_jobs:
        logger.warning(
            "%d leases were not renewed in time and were taken back, %d jobs were ended for their limits",
            reaped,
            reaped.overdue_jobs,
        )
    faultpoints.reach("reaper.swept")
    await store.expire(limit)
    for lane in LANES:
        await store.ring(lane)


async def run(store: AsyncJobStore, period_s: float = 1.0) -> None:
    """Sweep until cancelled; a store that can't be reached is tried again in the next round."""
    while True:
        try:
            await sweep(store)
        except SparringError as error:
            logger.warning("housekeeping failed and is tried again: %s", error.message)
        await asyncio.sleep(period_s)
