"""How the mathematics says that a job can't be done, and how any error is put into words.

    Rejected      the input is at fault: the job fails at once, with a reason and a message that says what to do
    Interrupted   somebody asked the computation to stop: cancelled, draining, or its lease was lost
    DeviceLost    the device answers this process no more: only another process may get further

None of them knows of the service; `workers.run` turns them into the job's outcome.
"""

from __future__ import annotations

import traceback

# Characters of an error that people are shown, and of one that the log keeps.
LONGEST = 1000
LONGEST_LOGGED = 20_000


class Rejected(Exception):
    """Raised when data, weights or parameters can't be used; a retry would fail the same way."""

    def __init__(self, reason: str, message: str) -> None:
        """`reason` is UPPER_SNAKE_CASE and stable; `message` says what is wrong and what to do."""
        super().__init__(message)
        self.reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type[Rejected], tuple[str, str]]:
        """What makes it again in another process."""
        return Rejected, (self.reason, self.message)


class Interrupted(Exception):
    """Raised by a monitor out of a computation that has to stop; passes through every engine untouched."""


class DeviceLost(Exception):
    """Raised where a GPU refuses everything that this process asks from now on; the message says what it said first."""


def words(error: BaseException) -> str:
    """`ZeroDivisionError: division by zero`; short and without raising, whatever the error makes of itself."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error that can't be read is still to be reported
        text = "its message can't be read"
    # Half of a surrogate pair, as broken file names have, can't be sent anywhere.
    text = text[:LONGEST].encode(errors="replace").decode()
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind


def account(error: BaseException) -> str:
    """The traceback for the log; the middle of a very long one is left out."""
    text = "".join(traceback.format_exception(error)).encode(errors="replace").decode()
    half = LONGEST_LOGGED // 2
    return text if len(text) <= LONGEST_LOGGED else f"{text[:half]}\n[...]\n{text[-half:]}"
