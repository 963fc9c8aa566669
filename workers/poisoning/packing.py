"""One fraction's measurement as bytes: the same measurement gives the same bytes, whoever made it, however fast.

Layout, a safetensors file without metadata:

    set/counts         (3,) int64      samples, poisoned, attempts
    plain/counts       (6,) int64      the fields of `Outcome`, in their order
    sanitized/counts   (6,) int64      likewise; left out where nobody sanitised
    poison/x           (P, C, H, W) float32, the first poison samples
    before/x           (P, C, H, W) float32, what each was made from
    poison/label       (P,) int64, as the victim is told
    target/x           (1 or 0, C, H, W) float32
"""

from __future__ import annotations

import torch
from safetensors.torch import load
from torch import Tensor

from workers.evaluation.shard import save_tensors
from workers.poisoning.measure import Measurement, Outcome


def pack(measurement: Measurement) -> bytes:
    """Write a measurement."""
    tensors = {
        "set/counts": torch.tensor([measurement.samples, measurement.poisoned, measurement.attempts]),
        "plain/counts": _counts(measurement.plain),
        "poison/x": measurement.x,
        "before/x": measurement.before.clone(),
        "poison/label": measurement.label,
        "target/x": measurement.target,
    }
    if measurement.sanitized is not None:
        tensors["sanitized/counts"] = _counts(measurement.sanitized)
    return save_tensors(tensors)


def unpack(content: bytes) -> Measurement:
    """Read what `pack` wrote."""
    tensors = load(content)
    samples, poisoned, attempts = tensors["set/counts"].tolist()
    sanitized = tensors.get("sanitized/counts")
    return Measurement(
        samples=samples,
        poisoned=poisoned,
        attempts=attempts,
        plain=_outcome(tensors["plain/counts"]),
        sanitized=None if sanitized is None else _outcome(sanitized),
        x=tensors["poison/x"],
        before=tensors["before/x"],
        label=tensors["poison/label"],
        target=tensors["target/x"],
    )


def _counts(outcome: Outcome) -> Tensor:
    return torch.tensor(list(vars(outcome).values()), dtype=torch.int64)


def _outcome(counts: Tensor) -> Outcome:
    names = Outcome.__dataclass_fields__
    return Outcome(**dict(zip(names, counts.tolist(), strict=True)))
