"""How a training went, as its report tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_LOOKS: Final = 40
"""Lines of the table of a training; of a longer one every so many are shown."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Shares of samples that the network had right after an epoch, clean and under PGD, and the epoch's mean loss.

    held_out_clean, held_out_robust: of samples that it does not learn from; None where there are none.
    probe_clean, probe_robust: of samples that it learns from. rolled_back: the training went back to earlier weights.
    """

    epoch: int
    loss: float
    held_out_clean: float | None
    held_out_robust: float | None
    probe_clean: float
    probe_robust: float
    rolled_back: bool


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was seen of the network while it was trained.

    looks: in the order of the epochs, at least one. selected: the epoch whose weights the model has, None for the
    last one's. epsilon, steps: of the PGD, in L-infinity. samples: of each kind, at most.
    """

    looks: Sequence[Look]
    selected: int | None
    epsilon: float
    steps: int
    samples: int

    @property
    def held_out(self) -> bool:
        """Whether there are samples that the network does not learn from."""
        return self.looks[0].held_out_robust is not None

    @property
    def shown(self) -> Sequence[Look]:
        """The looks of the table: all, or every so many of them, and those that something followed from."""
        every = -(-len(self.looks) // MOST_LOOKS)
        last = len(self.looks) - 1
        return [
            look
            for place, look in enumerate(self.looks)
            if place % every == 0 or place == last or look.rolled_back or look.epoch == self.selected
        ]
