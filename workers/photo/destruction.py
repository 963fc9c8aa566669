"""How many adversarial examples a transformation makes harmless.

    d = sum_k C(X_k) (1 - C(X'_k)) C(T(X'_k)) / sum_k C(X_k) (1 - C(X'_k))

C(.) is 1 where the true label is among the first guesses, X' the adversarial example of X, T the transformation: of
those that were right and were fooled, the share that is right again after T.

Source: arXiv:1607.02533, section 4 (eq. 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor


class Destruction(NamedTuple):
    """What became of the adversarial examples that fooled the model."""

    destroyed: int  # right again after the transformation
    fooled: int  # right on the clean picture, wrong on the adversarial one

    @property
    def rate(self) -> float:
        """The destruction rate; NaN where nothing was fooled."""
        return self.destroyed / self.fooled if self.fooled else math.nan


def right_within(logits: Tensor, label: Tensor, guesses: int) -> Tensor:
    """Whether the label is among the first guesses (1: it is the prediction), (N,) bool; logits (N, K)."""
    return (logits.topk(guesses, dim=1).indices == label.unsqueeze(1)).any(dim=1)


def destruction(clean: Tensor, adversarial: Tensor, transformed: Tensor) -> Destruction:
    """Count from three (N,) bools: whether X, X' and T(X') are classified rightly."""
    fooled = clean & ~adversarial
    return Destruction(int((fooled & transformed).sum()), int(fooled.sum()))
