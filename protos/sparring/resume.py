"""What a stream does when it is cut off: how long to be patient, and where to go on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from sparring.channel import STREAM_S
from sparring.errors import ServiceError, TimedOut, Unavailable, Unreachable
from sparring.flow import Call, Flow, Pause
from sparring.v1.jobs_pb2 import Job, WatchJobRequest, WatchJobResponse

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
# Attempts to reach a service that has never answered.
FIRST_ATTEMPTS = 4
# Unary calls have less time than streams; they look again sooner.
LONGEST_PAUSE_S = 1.0

# Ends of a stream after which it is worth going on from where it stood. TimedOut is the stream's own deadline.
INTERRUPTIONS = (Unavailable, Unreachable, TimedOut)
# Ends of a unary call after which it is made again: it may or may not have been done, and every one is idempotent.
OUTAGES = (Unavailable, Unreachable)
# Codes that do not show that a service is there.
SILENCES = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})

ENDED = frozenset({Job.STATE_SUCCEEDED, Job.STATE_FAILED, Job.STATE_CANCELLED, Job.STATE_QUARANTINED})


class Patience:
    """Delays between attempts: 0.1 s doubling to 5 s, with jitter; spent when an outage outlasts patience_s."""

    def __init__(
        self,
        patience_s: float,
        *,
        longest_s: float = LONGEST_DELAY_S,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._patience_s = patience_s
        self._longest_s = longest_s
        self._clock = clock
        self._jitter = jitter
        self._since: float | None = None
        self._attempts = 0

    def progressed(self) -> None:
        """Note that something came through; the outage, if there was one, is over."""
        self._since, self._attempts = None, 0

    def delay_s(self, error: ServiceError) -> float:
        """Seconds to wait before the next attempt; raises `error` once patience is spent."""
        now = self._clock()
        if self._since is None:
            self._since = now
        if now - self._since >= self._patience_s:
            raise error
        longest = min(self._longest_s, FIRST_DELAY_S * 2.0**self._attempts)
        self._attempts += 1
        return longest * (1 + self._jitter()) / 2


class Holdout:
    """How long a unary call is made again: through an outage, until its time is up.

    A service that restarts may be away for seconds. One that has never answered is rather a wrong address: then a few
    quick attempts are enough.
    """

    def __init__(
        self,
        timeout_s: float,
        *,
        reached: bool,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._until = clock() + timeout_s
        self._reached = reached
        self._patience = Patience(timeout_s, longest_s=LONGEST_PAUSE_S, clock=clock, jitter=jitter)
        # Attempts that failed so far.
        self.failed = 0

    def left_s(self) -> float:
        """Seconds that the next attempt may take."""
        return self._until - self._clock()

    def delay_s(self, error: ServiceError) -> float:
        """Seconds to wait before the next attempt; raises `error` where there is to be none."""
        self.failed += 1
        if not self._reached and self.failed >= FIRST_ATTEMPTS:
            raise error
        delay_s = self._patience.delay_s(error)
        if delay_s >= self.left_s():
            raise error
        return delay_s


def persist(call: Call, patience: Patience) -> Flow[Any]:
    """Make a call again and again through an outage, as long as patience lasts."""
    while True:
        try:
            return (yield call)
        except INTERRUPTIONS as error:
            yield Pause(patience.delay_s(error))


def all_seen(job: Job, last: int, asked_after: int) -> bool:
    """Whether a job has ended and its last event was seen, or asking for more brought none."""
    return job.state in ENDED and (job.last_event_id <= last or last == asked_after)


class Watching:
    """Where the watch of a job stands: the last event seen, the last state seen, and the time that is left."""

    def __init__(
        self,
        name: str,
        after: int,
        patience: Patience,
        *,
        timeout_s: float | None = None,
        reached: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reached`: the service has answered this client before, so an outage is one to sit out."""
        self.name = name
        self.after = after
        self._state = Job.STATE_UNSPECIFIED
        self._reached = reached
        self._asked_after = after
        self._patience = patience
        self._clock = clock
        self._until = None if timeout_s is None else clock() + timeout_s
        self._failed = 0

    def request(self) -> WatchJobRequest:
        """Ask for what comes after the last event seen."""
        self._asked_after = self.after
        return WatchJobRequest(name=self.name, after_event_id=self.after)

    def timeout_s(self) -> float:
        """Deadline of the next stream; raises TimedOut when no time is left."""
        if self._until is None:
            return STREAM_S
        left = self._until - self._clock()
        if left <= 0:
            raise TimedOut(f"{self.name} has not ended in time; it goes on, watch it again", reason="DEADLINE")
        return min(STREAM_S, left)

    def accept(self, message: WatchJobResponse) -> bool:
        """Take note of a message; false for heartbeats and for events that were seen before."""
        self._reached = True
        self._patience.progressed()
        kind = message.WhichOneof("event")
        if kind == "snapshot":
            self._state, self.after = message.snapshot.state, max(self.after, message.event_id)
            return True
        if kind == "heartbeat" or message.event_id <= self.after:
            return False
        self.after = message.event_id
        if kind == "state_change":
            self._state = message.state_change.state
        return True

    def saw_end(self) -> bool:
        """Whether the last state seen ends a job."""
        return self._state in ENDED

    def covers(self, job: Job) -> bool:
        """Whether a job has ended and all its events were seen, as far as the service has them."""
        return all_seen(job, self.after, self._asked_after)

    def delay_s(self, error: ServiceError) -> float:
        """Seconds to wait before going on; raises `error` where the service was never there or stays away too long."""
        if isinstance(error, TimedOut):
            # Either the caller's time is up, which this raises, or only this stream's.
            self.timeout_s()
        elif not self._reached:
            self._failed += 1
            if self._failed >= FIRST_ATTEMPTS:
                raise error
        return self._patience.delay_s(error)
