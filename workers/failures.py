"""How the mathematics says that a job can't be done.

    Rejected      the input is at fault: the job fails at once, with a reason and a message that says what to do
    Interrupted   somebody asked the computation to stop: cancelled, draining, or its lease was lost

Neither knows of the service; `workers.run` turns them into the job's outcome.
"""

from __future__ import annotations


class Rejected(Exception):
    """Raised when data, weights or parameters can't be used; a retry would fail the same way."""

    def __init__(self, reason: str, message: str) -> None:
        """`reason` is UPPER_SNAKE_CASE and stable; `message` says what is wrong and what to do."""
        super().__init__(message)
        self.reason = reason
        self.message = message


class Interrupted(Exception):
    """Raised by a monitor out of a computation that has to stop; passes through every engine untouched."""
