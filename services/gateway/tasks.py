"""Ending tasks for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

# How long a task has to end before it is cancelled again.
PATIENCE_S = 0.2


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks until each is done, whatever it ends with.

    Once is not always enough: until Python 3.12, `asyncio.wait_for`, with which redis-py sends, loses a cancellation
    that comes in the very moment its future completes (github.com/python/cpython/issues/81839).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=PATIENCE_S)
        for task in done:
            if not task.cancelled():
                # Looked at, so that asyncio does not complain that nobody did.
                task.exception()
