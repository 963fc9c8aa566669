"""What the propagations of a run come to for each sample."""

from __future__ import annotations

import torch
from torch import Tensor


class Ledger:
    """Forwards and backwards of N samples.

    A query about all live samples is only noted, and charged when the live ones change or somebody asks: an addition of
    two numbers in place of two over the batch.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.forwards = torch.zeros(count, dtype=torch.int64, device=device)
        self.backwards = torch.zeros_like(self.forwards)
        self._noted = (0, 0)

    def note(self, *, backwards: int) -> None:
        """Note a query about all live samples: one forward, and so many backwards."""
        self._noted = self._noted[0] + 1, self._noted[1] + backwards

    def charge(self, live: Tensor | None) -> None:
        """Charge what was noted to the samples that were live; None: all."""
        forwards, backwards = self._noted
        self._noted = (0, 0)
        rows = slice(None) if live is None else live
        self.forwards[rows] += forwards
        self.backwards[rows] += backwards

    def spend(self, rows: Tensor | None, *, forwards: int = 1, backwards: int = 0) -> None:
        """Charge some samples, each as often as it is named; None: all."""
        for count, spent in ((self.forwards, forwards), (self.backwards, backwards)):
            if spent and rows is None:
                count += spent  # noqa: PLW2901 in place
            elif spent and rows is not None:
                count.index_add_(0, rows, torch.full_like(rows, spent))
