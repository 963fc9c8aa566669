"""What each row of a result's table says of each sample: what two results are compared by, sample by sample.

A safetensors file without metadata, so that equal results give equal bytes:

    index, label   (N,) int64   the samples, by their index in the split, in the order of the selection
    held/{i}       (N,) bool    row i counts the sample: the model is right on it and, where the row is of an attack,
                                the attack does not change that; of a targeted attack, it does not become the target
    judged/{i}     (N,) bool    the samples that row i judges, where those are not all: rows of targeted attacks

`i` is the number of the row in the result, from 0 on. The value of a row's robust accuracy is the sum of its `held`
over the number of samples that it judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from safetensors.torch import save
from torch import Tensor

from workers.evaluation.inputs import RunInfo, SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.rows import CLEAN, Row
from workers.evaluation.worst import within


def pack_verdicts(given: SummaryInput, rows: Sequence[Row], samples: Sequence[ModelSamples]) -> bytes:
    """Write the verdicts of `rows`; `samples` are those of the job's models, in their order."""
    of_model = dict(zip((model.name for model in given.models), samples, strict=True))
    runs = {run.key: run for run in given.runs}
    clean = samples[0].clean
    tensors = {"index": clean.index, "label": clean.label}
    for number, row in enumerate(rows):
        held, judged = _verdict(row, of_model[row.model], runs)
        tensors[f"held/{number}"] = held
        if judged is not None:
            tensors[f"judged/{number}"] = judged
    # Rows may share a tensor, which safetensors refuses.
    data: bytes = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
    return data


def _verdict(row: Row, samples: ModelSamples, runs: Mapping[str, RunInfo]) -> tuple[Tensor, Tensor | None]:
    """Return the samples (N,) bool that a row counts, and those that it judges; None for all."""
    if row.attack == CLEAN:
        return samples.right, None
    if row.worst_of:
        return samples.right & ~_broken(row, samples, runs), None
    run = samples.runs[row.run]
    if runs[row.run].targeted:
        return run.attacked & ~run.success, run.attacked
    return samples.right & ~run.success, None


def _broken(row: Row, samples: ModelSamples, runs: Mapping[str, RunInfo]) -> Tensor:
    """Return the samples (N,) bool that any of the attacks of a worst case turns within its radius."""
    members = ((runs[key], samples.runs[key]) for key in row.worst_of)
    found = [within(run, row.epsilon) if info.minimum else run for info, run in members]
    return torch.stack([run.success for run in found]).any(dim=0)
