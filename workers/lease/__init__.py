"""Holding a unit of work: claim, heartbeat, cancel, drain, commit. Knows the store, and nothing of what is computed."""

from __future__ import annotations

from workers.lease.drain import Drain
from workers.lease.heartbeat import Heartbeat, Limits
from workers.lease.holding import Holding
from workers.lease.interrupts import Cancelled, Draining, LeaseLost
from workers.lease.loop import Worker
from workers.lease.outcome import Committed, Failed, Finished, Outcome, status
from workers.lease.presence import Presence
from workers.lease.watch import Watch

__all__ = [
    "Cancelled",
    "Committed",
    "Drain",
    "Draining",
    "Failed",
    "Finished",
    "Heartbeat",
    "Holding",
    "LeaseLost",
    "Limits",
    "Outcome",
    "Presence",
    "Watch",
    "Worker",
    "status",
]
