"""One unit's per-sample results as bytes: the same tensors give the same bytes, whoever computed them, however fast.

Layout, a safetensors file without metadata:

    clean/index        (N,) int64      index of the sample in the split
    clean/label        (N,) int64
    clean/prediction   (N,) int64      on the clean input
    clean/confidence   (N,) float32    probability of that prediction
    clean/x            (k, C, H, W) float32, the first k samples, kept for the pictures
    run/{key}/...      the fields of `ShardRun`, for each run; violations is (6,) int64 in the order of `proof.KINDS`
    probe/{name}       (P,) what `probes` asked about the first P samples, in a job that has a suite
    transfer/{number}  (P,) bool, turned by what was made for the job's model of that number, if that is another one
    features/...       the fields of `Features`, of the first m samples; none where nothing is followed

Seconds are not in it: they travel in the stats, which no digest covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from workers.evaluation.features import Features
from workers.evaluation.proof import KINDS, NONE

PICTURES = 8
"""Samples of a selection that the report shows."""

_DTYPES = {
    "confidence": torch.float32,
    "distance": torch.float32,
    "x": torch.float32,
    "x_adv": torch.float32,
    "success": torch.bool,
    "attacked": torch.bool,
    "zero_gradient": torch.bool,
    "before": torch.float32,
    "after": torch.float32,
}
"""Dtype by field; every other is int64. Probes and transfers keep their own."""

PROBE, TRANSFER = "probe", "transfer"


@dataclass(frozen=True, kw_only=True)
class CleanPart:
    """The samples of a shard and what the model says to them clean; shapes in the module's head."""

    index: Tensor
    label: Tensor
    prediction: Tensor
    confidence: Tensor
    x: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, kw_only=True)
class ShardRun:
    """What one attack at one epsilon did to the N samples of a shard; each tensor is (N,) unless said.

    prediction (int64), confidence (float32): on the adversarial input. success (bool): right clean and turned, or
    target hit. attacked (bool): counts for a targeted goal. distance (float32): from the clean input, in the run's
    norm. target (int64): -1 if none. forwards, backwards (int64): passes spent on the sample. zero_gradient (bool):
    the attack met a loss gradient of exactly zero. violations: samples that failed each of `proof.KINDS`.
    x_adv (m, C, H, W) float32: the first m samples, all N in an attack job; None for none.
    stage (int64): number of the stage of an ensemble that broke the sample, 0 of any other attack, -1 for unbroken;
    None in shards of before there were stages. again, rounded (int64): the prediction of another float32 forward in
    another batch, and of one on the example rounded to grey levels; None where the job has no suite.
    """

    key: str
    prediction: Tensor
    confidence: Tensor
    success: Tensor
    attacked: Tensor
    distance: Tensor
    target: Tensor
    forwards: Tensor
    backwards: Tensor
    zero_gradient: Tensor
    violations: tuple[int, ...] = NONE
    x_adv: Tensor | None = None
    stage: Tensor | None = None
    again: Tensor | None = None
    rounded: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse keys that could not be read back."""
        if not self.key or "/" in self.key or self.key == "clean":
            raise ValueError(f"a run can't be called {self.key!r}: it must be non-empty, without '/', and not 'clean'")


@dataclass(frozen=True)
class Shard:
    """One unit's results; `probes` by name and `transfers` by number of the other model, see the module's head."""

    clean: CleanPart
    runs: tuple[ShardRun, ...]
    probes: Mapping[str, Tensor] = field(default_factory=dict)
    transfers: Mapping[str, Tensor] = field(default_factory=dict)
    features: Features | None = None


def pack(shard: Shard) -> bytes:
    """Write a shard; raises ValueError where a tensor does not have one entry per sample."""
    tensors = _named("clean", shard.clean, len(shard.clean))
    for run in shard.runs:
        if f"run/{run.key}/prediction" in tensors:
            raise ValueError(f"two runs are called {run.key!r}")
        tensors |= _named(f"run/{run.key}", run, len(shard.clean))
    tensors |= {f"{PROBE}/{name}": tensor.clone() for name, tensor in shard.probes.items()}
    tensors |= {f"{TRANSFER}/{name}": tensor.clone() for name, tensor in shard.transfers.items()}
    if shard.features is not None:
        tensors |= {f"features/{name}": tensor.clone() for name, tensor in vars(shard.features).items()}
    return save_tensors(tensors)


def unpack(data: bytes) -> Shard:
    """Read what `pack` wrote; the runs come in the order of their keys."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load(data).items():
        part, _, field_name = name.rpartition("/")
        parts.setdefault(part, {})[field_name] = tensor
    clean, probes, transfers = CleanPart(**parts.pop("clean")), parts.pop(PROBE, {}), parts.pop(TRANSFER, {})
    features = Features(**parts.pop("features")) if "features" in parts else None
    runs = tuple(_run(part.removeprefix("run/"), tensors) for part, tensors in sorted(parts.items()))
    return Shard(clean, runs, probes, transfers, features)


def lean(shard: Shard, pictures: int = PICTURES) -> Shard:
    """Return a shard with the first so many pictures of it only; the rest is a few numbers for each sample."""
    clean = replace(shard.clean, x=_first(shard.clean.x, pictures))
    runs = tuple(replace(run, x_adv=_first(run.x_adv, pictures)) for run in shard.runs)
    return replace(shard, clean=clean, runs=runs)


def _first(tensor: Tensor | None, count: int) -> Tensor | None:
    # A copy, or the whole tensor would be kept in memory behind its part.
    return None if tensor is None else tensor[:count].clone()


def pictures_in(start: int, size: int, pictures: int = PICTURES) -> int:
    """Say how many samples of the shard [start, start + size) are among the first `pictures` of the selection."""
    return max(0, min(size, pictures - start))


def shard_stats(seconds: Mapping[str, float], *, asked: int = 0, fitted: int = 0) -> dict[str, Any]:
    """Make the stats of a shard: `seconds` of compute by run key, those of the clean pass under "clean".

    Where `fitted` samples went through the model at once, as the `asked` ones did not fit into memory, it says so too.
    """
    stats: dict[str, Any] = {"seconds": {key: float(value) for key, value in seconds.items()}}
    return stats | ({"halved": {"from": asked, "to": fitted}} if fitted < asked else {})


def save_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Write tensors as safetensors, each in the dtype of its field (the last part of its name).

    safetensors lays them out by dtype and name, not in the order given, so equal tensors give equal bytes.
    """
    canonical = {}
    for name, tensor in tensors.items():
        part, _, field_name = name.rpartition("/")
        dtype = tensor.dtype if part in {PROBE, TRANSFER} else _DTYPES.get(field_name, torch.int64)
        canonical[name] = tensor.detach().to(device="cpu", dtype=dtype).contiguous()
    data: bytes = save(canonical)
    return data


def _named(prefix: str, part: CleanPart | ShardRun, size: int) -> dict[str, Tensor]:
    named = {}
    for spec in fields(part):
        value = getattr(part, spec.name)
        if spec.name == "key" or value is None:
            continue
        tensor = torch.tensor(value) if spec.name == "violations" else value
        if not _fits(spec.name, tensor, size):
            raise ValueError(f"{prefix}/{spec.name} has shape {tuple(tensor.shape)} in a shard of {size} samples")
        # safetensors refuses tensors that share memory, and callers may well pass one tensor in two places.
        named[f"{prefix}/{spec.name}"] = tensor.clone()
    return named


def _fits(field_name: str, tensor: Tensor, size: int) -> bool:
    if field_name in {"x", "x_adv"}:
        return tensor.ndim == 4 and len(tensor) <= size
    return tuple(tensor.shape) == ((len(KINDS),) if field_name == "violations" else (size,))


def _run(key: str, tensors: Mapping[str, Tensor]) -> ShardRun:
    values: dict[str, Any] = dict(tensors)
    values["violations"] = tuple(tensors["violations"].tolist())
    return ShardRun(key=key, **values)
