"""The three orders to stop that a heartbeat hands to a computation."""

from __future__ import annotations

from workers.failures import Interrupted


class Cancelled(Interrupted):
    """Raised when somebody asked for the end of the job."""


class LeaseLost(Interrupted):
    """Raised when the unit belongs to another worker now, or will soon: nothing of it may be written any more."""


class Draining(Interrupted):
    """Raised when this worker shuts down and the unit can't end in time; another worker goes on with it."""
