"""The sign to shut down: a file that the worker's parent process makes when it is told to stop.

Signals do not reach the child that computes (Celery's parent keeps it alive until its task ends), so the parent's
`worker_shutting_down` handler makes the file, and the child's heartbeat looks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Drain:
    """Whether this worker shuts down; never, where there is no path, unless the process itself is `told`."""

    path: Path | None = None
    told: bool = False

    def requested(self) -> bool:
        """Whether the sign has been given."""
        return self.told or (self.path is not None and self.path.exists())

    def request(self) -> None:
        """Give the sign."""
        if self.path is not None:
            self.path.touch()

    def tell(self) -> None:
        """Give the sign to this process alone, as when somebody sends the child a signal."""
        self.told = True

    def clear(self) -> None:
        """Take away the sign of an earlier process of the same id."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
