"""Shards put together again: one model's samples in the order of the selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from workers.evaluation.features import Features, joined
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.proof import added
from workers.evaluation.shard import CleanPart, Shard, ShardRun
from workers.failures import Rejected

_PER_SAMPLE = (
    "prediction",
    "confidence",
    "success",
    "attacked",
    "distance",
    "target",
    "forwards",
    "backwards",
    "zero_gradient",
)
_PERHAPS = ("stage", "again", "rounded")


@dataclass(frozen=True)
class ModelSamples:
    """Every sample of the selection as one model saw it; `seconds` by run key, and under "clean".

    probes, transfers: of the first samples of each shard, one shard after the other; `probed` (P,) int64 says which
    rows of the selection they are.
    """

    clean: CleanPart
    runs: Mapping[str, ShardRun]
    seconds: Mapping[str, float]
    probes: Mapping[str, Tensor] = field(default_factory=dict)
    transfers: Mapping[str, Tensor] = field(default_factory=dict)
    probed: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    features: Features | None = None

    @property
    def right(self) -> Tensor:
        """(N,) bool: right on the clean input."""
        return self.clean.prediction == self.clean.label


def merge(given: SummaryInput) -> list[ModelSamples]:
    """Return one `ModelSamples` for each model; raises ValueError unless the shards are exactly those of the job."""
    models, shards = len(given.models), len(given.shards)
    if shards == 0 or shards % models or shards != len(given.stats):
        raise ValueError(f"{shards} shards and {len(given.stats)} stats don't divide among {models} models")
    each = shards // models
    return [
        _merge_model(given, given.shards[start : start + each], given.stats[start:][:each])
        for start in range(0, shards, each)
    ]


def _merge_model(given: SummaryInput, shards: Sequence[Shard], stats: Sequence[Mapping[str, Any]]) -> ModelSamples:
    keys = [run.key for run in given.runs]
    for shard in shards:
        found = sorted(run.key for run in shard.runs)
        if found != sorted(keys):
            raise ValueError(f"a shard has the runs {found}, the job has {sorted(keys)}")
    clean = CleanPart(
        index=torch.cat([shard.clean.index for shard in shards]),
        label=torch.cat([shard.clean.label for shard in shards]),
        prediction=torch.cat([shard.clean.prediction for shard in shards]),
        confidence=torch.cat([shard.clean.confidence for shard in shards]),
        x=_pictures([shard.clean.x for shard in shards], [len(shard.clean) for shard in shards]),
    )
    expected = torch.arange(given.data.offset, given.data.offset + given.data.count)
    if not torch.equal(clean.index, expected):
        raise ValueError(f"the shards do not hold the samples {expected[0]} to {expected[-1]} once each and in order")
    by_key = {key: [next(run for run in shard.runs if run.key == key) for shard in shards] for key in keys}
    sizes = [len(shard.clean) for shard in shards]
    runs = {key: _merge_run(key, parts, sizes) for key, parts in by_key.items()}
    if not _finite([clean.confidence, *(t for run in runs.values() for t in (run.confidence, run.distance))]):
        raise Rejected(
            "OUTPUT_NOT_FINITE",
            "the model's output is not a number on some samples: check its weights and its normalisation",
        )
    seconds = {key: sum(float(one["seconds"].get(key, 0.0)) for one in stats) for key in ["clean", *keys]}
    probes, transfers = (
        {name: torch.cat([part[name] for part in parts]) for name in parts[0]} for parts in _asked(shards)
    )
    features = joined([shard.features for shard in shards])
    return ModelSamples(clean, runs, seconds, probes, transfers, _probed(shards), features)


def _asked(shards: Sequence[Shard]) -> tuple[list[Mapping[str, Tensor]], list[Mapping[str, Tensor]]]:
    """Return the probes and the transfers of each shard; raises ValueError where shards were asked different things."""
    found = [shard.probes for shard in shards], [shard.transfers for shard in shards]
    if any(set(part) != set(parts[0]) for parts in found for part in parts):
        raise ValueError("the shards of one model were not asked the same probes")
    return found


def _probed(shards: Sequence[Shard]) -> Tensor:
    """Return the rows of the selection that were probed, (P,) int64."""
    begin, rows = 0, [torch.empty(0, dtype=torch.int64)]
    for shard in shards:
        probed = len(next(iter(shard.probes.values()), ()))
        rows.append(torch.arange(begin, begin + probed))
        begin += len(shard.clean)
    return torch.cat(rows)


def _merge_run(key: str, parts: Sequence[ShardRun], sizes: Sequence[int]) -> ShardRun:
    whole: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in _PER_SAMPLE}
    whole |= {name: _all_or_none([getattr(part, name) for part in parts]) for name in _PERHAPS}
    x_adv = _pictures([part.x_adv for part in parts], sizes)
    return ShardRun(key=key, violations=added([part.violations for part in parts]), x_adv=x_adv, **whole)


def _all_or_none(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Join what every shard has; None where one has not."""
    there = [part for part in parts if part is not None]
    return torch.cat(there) if len(there) == len(parts) else None


def _pictures(parts: Sequence[Tensor | None], sizes: Sequence[int]) -> Tensor | None:
    """Join pictures as far as they reach without a gap, so that row i is sample i of the selection."""
    kept: list[Tensor] = []
    for part, size in zip(parts, sizes, strict=True):
        if part is not None:
            kept.append(part)
        if part is None or len(part) < size:
            break
    return torch.cat(kept) if kept else None


def _finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)
