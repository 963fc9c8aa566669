"""Pixels beyond [0, 1]: the papers' figures without a clip, from a service whose pictures are in [0, 1].

A model's first layer computes (u - mean) / std. Pictures u in [0, 1] that stand for x in [low, high], and a model that
reads them so, make the service's box as wide as an experiment needs: FGSM that clips nothing, noise without bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Wide:
    """A box [low, high] in place of [0, 1], low < high."""

    low: float
    high: float

    @property
    def mean(self) -> tuple[float]:
        """What the model's first layer takes away, for one channel."""
        return (-self.low / (self.high - self.low),)

    @property
    def std(self) -> tuple[float]:
        """What it divides by after that."""
        return (1 / (self.high - self.low),)

    def narrow(self, x: np.ndarray) -> np.ndarray:
        """Map x in [low, high] to what stands for it in [0, 1], float32; what is outside is put at the edge."""
        narrowed = (np.asarray(x, dtype=np.float64) - self.low) / (self.high - self.low)
        return np.clip(narrowed, 0, 1).astype(np.float32)

    def widen(self, u: np.ndarray) -> np.ndarray:
        """Map it back, float64."""
        return np.asarray(u, dtype=np.float64) * (self.high - self.low) + self.low

    def epsilon(self, epsilon: float) -> float:
        """A distance of [low, high] as one of [0, 1]."""
        return epsilon / (self.high - self.low)


# No step of .25 from a pixel of [0, 1] leads out of this one.
QUARTER = Wide(-0.25, 1.25)
# The worked example of ten numbers, of which the largest is 5: (u - 1/2) * 16.
TEN = Wide(-8.0, 8.0)
