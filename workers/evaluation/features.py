"""What the last layer of a network is given for some samples, before and after an attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

FOLLOWED: Final = 200
"""Samples of a selection, the first of it, that are followed to their features."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the last layer is given for m samples, F numbers each.

    before, after (m, F) float32: for the clean sample, and for the adversarial example that speaks for it.
    run (m,) int64: the attack that made it, by its place among those that speak (`headline.speaking`).
    """

    before: Tensor
    after: Tensor
    run: Tensor

    def __len__(self) -> int:
        return len(self.run)


def joined(parts: Sequence[Features | None]) -> Features | None:
    """Join those of one shard after the other, which are of the first samples of the selection; None for none."""
    there = [part for part in parts if part is not None]
    if not there:
        return None
    return Features(
        before=torch.cat([part.before for part in there]),
        after=torch.cat([part.after for part in there]),
        run=torch.cat([part.run for part in there]),
    )
