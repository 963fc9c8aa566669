"""Waiting: for the rate that the owner of a server allows, and longer and longer for a server in trouble."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# How long a wait may keep quiet.
_SLICE_S: Final = 0.5


@dataclass(frozen=True)
class Clock:
    """Time, as far as an endpoint needs it; a test brings its own."""

    now: Callable[[], float] = time.monotonic  # seconds, never going back
    sleep: Callable[[float], None] = time.sleep

    def wait(self, seconds: float, waiting: Callable[[], None]) -> None:
        """Sleep, and call `waiting` twice a second, which may raise to end it."""
        left = seconds
        while left > 0:
            waiting()
            self.sleep(min(left, _SLICE_S))
            left -= _SLICE_S


class TokenBucket:
    """At most `rate` tokens a second over any time, and one second's worth (at least one) at once.

    A demand for more than the bucket holds is met once they would all have come: in any T seconds no more than
    rate * T + max(rate, 1, largest demand) are spent.
    """

    def __init__(self, rate: float, now: float) -> None:
        """`rate` > 0 per second; the bucket is full at `now`."""
        self._rate, self._capacity = rate, max(rate, 1.0)
        self._tokens, self._seen = self._capacity, now

    def take(self, tokens: float, now: float) -> float:
        """Spend `tokens`; return how many seconds after `now` they may be used."""
        self._tokens = min(self._capacity, self._tokens + (now - self._seen) * self._rate) - tokens
        self._seen = now
        return max(0.0, -self._tokens / self._rate)


def backoff_s(attempt: int, *, first: float, longest: float, chance: random.Random) -> float:
    """How long to wait after failed attempt number `attempt`, counted from 1.

    min(longest, first * 2^(attempt - 1)) * U(1/2, 1): many clients that failed together do not come back together.
    """
    return min(longest, first * 2.0 ** min(attempt - 1, 60)) * chance.uniform(0.5, 1.0)
