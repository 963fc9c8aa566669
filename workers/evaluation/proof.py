"""The check of every adversarial example against the data it claims to come from, made before its bytes are kept.

    ball     |x_adv - x| in the run's norm is at most epsilon, computed in float64 from the float32 bytes; the slack is
             `threats.TOLERANCE`, as the attack's own arithmetic is float32; L0 counts the values that differ by more
    box      every pixel is in [0, 1], without slack
    label    the label that is kept is the dataset's
    dtype    examples are float32, labels and indices int64
    finite   no pixel is NaN or infinite; such a sample is counted here and neither under ball nor under box
    index    the sample stands in the place that its index names

A sample may fail in several ways, and counts once in each. A sound result has 0 everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.data import Dataset
from workers.threats import TOLERANCE

KINDS: Final = ("ball", "box", "label", "dtype", "finite", "index")
"""The ways in which a sample may fail, in the order of every tuple of counts."""

NONE: Final = (0,) * len(KINDS)
"""The counts of a sound result."""

# The length of a change (N, D) in each norm, (N,).
_LENGTHS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "linf": lambda change: change.abs().amax(dim=1),
    "l2": lambda change: torch.linalg.vector_norm(change, dim=1),
    "l1": lambda change: change.abs().sum(dim=1),
    "l0": lambda change: (change.abs() > TOLERANCE).sum(dim=1).double(),
}

# Pixels of one piece: what is compared in float64 at any time, 1 MiB.
_AT_ONCE: Final = 2**17


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is about to be kept of N samples, and the ball that they are said to be in."""

    x_adv: Tensor  # (N, C, H, W)
    label: Tensor  # (N,)
    index: Tensor  # (N,)
    norm: str  # "linf", "l2", "l1" or "l0"
    epsilon: float


def examine(claim: Claim, data: Dataset, first: int) -> tuple[tuple[int, ...], Tensor]:
    """Count the samples that fail in each way, in the order of `KINDS`; and say which fail at all, (N,) bool.

    `data` are the N samples as they were read anew, the first of them number `first` of its split. Raises ValueError
    where the claim is not about so many samples of that shape.
    """
    shape = (len(data), *data.input_shape)
    if claim.x_adv.shape != shape or claim.label.shape != shape[:1] or claim.index.shape != shape[:1]:
        found = [tuple(tensor.shape) for tensor in (claim.x_adv, claim.label, claim.index)]
        raise ValueError(f"examples, labels and indices of {shape} samples have the shapes {found}")
    dtypes = (claim.x_adv.dtype, claim.label.dtype, claim.index.dtype)
    kept = claim.x_adv.to(torch.float32)  # what is written down, whatever it was computed in
    step = max(1, _AT_ONCE // math.prod(data.input_shape))
    pieces = [_geometry(kept, data, claim, slice(begin, begin + step)) for begin in range(0, len(data), step)]
    ball, box, finite = (torch.cat(rows) for rows in zip(*pieces, strict=True))
    failed = {
        "ball": ball,
        "box": box,
        "label": claim.label != data.y,
        "dtype": torch.full_like(ball, dtypes != (torch.float32, torch.int64, torch.int64)),
        "finite": finite,
        "index": claim.index != torch.arange(first, first + len(data)),
    }
    table = torch.stack([failed[kind] for kind in KINDS])
    return tuple(table.sum(dim=1).tolist()), table.any(dim=0)


def added(counts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Add counts up, kind by kind."""
    return tuple(map(sum, zip(NONE, *counts, strict=True)))


def _geometry(kept: Tensor, data: Dataset, claim: Claim, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Return where a piece is outside the ball, outside the box, or not finite, each (n,) bool."""
    point = kept[rows].flatten(1)
    low, high = point.aminmax(dim=1)  # both NaN where any pixel is
    finite = low.isfinite() & high.isfinite()
    change = point.double() - data.pixels(rows).flatten(1)  # float32 is taken to float64 first
    ball = _LENGTHS[claim.norm](change) > claim.epsilon + TOLERANCE * max(1.0, claim.epsilon)
    return ball & finite, ((low < 0) | (high > 1)) & finite, ~finite
