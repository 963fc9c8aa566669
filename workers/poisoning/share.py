"""A part of a unit's work, as its monitor is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workers.engine.monitor import TrainingMonitor


class Share:
    """A monitor of the part from `begin` on, `span` of the whole; both in [0, 1].

    The fraction never falls, though many fits begin at 0 within one part. Their losses are no figures of the job, and
    there are no checkpoints within: a unit that is lost is done again, with the same result.
    """

    def __init__(self, whole: TrainingMonitor, begin: float, span: float) -> None:
        self._whole, self._begin, self._span = whole, begin, span
        self._reached = 0.0

    def tick(self, fraction: float, message: str = "") -> None:
        """Pass on, in units of the whole."""
        self._reached = max(self._reached, fraction)
        self._whole.tick(self._begin + self._span * self._reached, message)

    def metric(self, name: str, value: float, step: int) -> None:
        """Keep it to itself."""

    def checkpoint_wanted(self) -> bool:
        """Want none."""
        return False


def shares(whole: TrainingMonitor, weights: Sequence[float]) -> Iterator[Share]:
    """One part after the other, as long as their weights say."""
    total, done = sum(weights), 0.0
    for weight in weights:
        yield Share(whole, done / total, weight / total)
        done += weight
