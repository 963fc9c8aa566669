"""What a network is besides its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workers.failures import Rejected
from workers.models.components import Component

_MAX_SIDE = 4096
_MAX_INPUTS = 3 * 1024 * 1024
_MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Signature:
    """An architecture's name, the shape of one input, the number of classes, the normalisation, and what stands around.

    `input_shape` is (channels, height, width). `mean` and `std` hold one number per channel, in units of the [0, 1]
    pixel range; empty means 0 and 1. `component`, if any, stands around the network and its normalisation. The ranges
    are those of `sparring.v1.ModelSignature`.
    """

    architecture: str
    input_shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    component: Component | None = None

    def __post_init__(self) -> None:
        """Refuse what no network could be built for."""
        shape = self.input_shape
        if len(shape) != 3 or not all(1 <= side <= _MAX_SIDE for side in shape) or math.prod(shape) > _MAX_INPUTS:
            raise Rejected(
                "BAD_SIGNATURE",
                f"input_shape {list(shape)} must be channels, height, width: each from 1 to {_MAX_SIDE}, "
                f"their product at most {_MAX_INPUTS}",
            )
        if not 2 <= self.classes <= _MAX_CLASSES:
            raise Rejected("BAD_SIGNATURE", f"classes is {self.classes}; it must be from 2 to {_MAX_CLASSES}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != shape[0]:
                raise Rejected("BAD_SIGNATURE", f"{name} has {len(values)} numbers for {shape[0]} channels")
            if not all(math.isfinite(value) for value in values):
                raise Rejected("BAD_SIGNATURE", f"{name} {list(values)} must be finite")
        if not all(value > 0 for value in self.std):
            raise Rejected("BAD_SIGNATURE", f"std {list(self.std)} must be positive")
