"""The states of a job, and which may follow which.

QUEUED -> RUNNING -> SUCCEEDED | FAILED | QUARANTINED
RUNNING -> QUEUED            every unit that ran was given back or lost
QUEUED -> CANCELLED          nothing of it ran
QUEUED -> FAILED             it waited, or took, longer than it may, or a job that it waited for did not succeed
RUNNING -> CANCELLING -> CANCELLED
FAILED | CANCELLED | QUARANTINED -> QUEUED      RetryJob
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """Where a job stands; the numbers of `sparring.v1.Job.State`."""

    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLING = 5
    CANCELLED = 6
    QUARANTINED = 7


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.QUARANTINED})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.QUEUED, State.SUCCEEDED, State.FAILED, State.CANCELLING, State.QUARANTINED}),
    State.CANCELLING: frozenset({State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
    State.QUARANTINED: frozenset({State.QUEUED}),
}
