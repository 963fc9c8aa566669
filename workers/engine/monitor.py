"""How a running computation speaks to whoever started it: progress out, the wish to stop in."""

from __future__ import annotations

from typing import Protocol


class Monitor(Protocol):
    """What an engine calls once per step of an attack or of a training.

    Both methods may raise `failures.Interrupted`, and then the engine leaves the model as it found it and lets the
    exception pass. `tick` must be cheap (microseconds): it is called in the innermost loop.
    """

    def tick(self, fraction: float, message: str = "") -> None:
        """Say how much of the work is done, 0 <= fraction <= 1, never falling; and ask whether to go on."""

    def metric(self, name: str, value: float, step: int) -> None:
        """Report one number of a series, e.g. the loss at training step `step`."""


class TrainingMonitor(Monitor, Protocol):
    """What a training calls as well."""

    def checkpoint_wanted(self) -> bool:
        """Whether a checkpoint is wanted now, and not only when its time has come; asked after every step."""


class NullMonitor:
    """Hears everything, says nothing, stops nobody."""

    def tick(self, fraction: float, message: str = "") -> None:
        """Do nothing."""

    def metric(self, name: str, value: float, step: int) -> None:
        """Do nothing."""

    def checkpoint_wanted(self) -> bool:
        """Want none."""
        return False
