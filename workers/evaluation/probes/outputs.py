"""What the outputs of a model look like, and how they come about.

    twice       largest difference between two passes over the same batch; above 1e-4 the model answers at random
    mates       the same between two batches that a sample stands in; above it, the answer depends on the others
    row_sum, lowest, highest
                of the outputs of a sample: probabilities sum to 1 and lie in [0, 1]
    adapts      a graph for gradients is made though nobody asked for one: the model optimises while it answers
    passes      forward passes of the network inside for one prediction

Differences are between outputs of unit length, z / ||z||_2, as in the flags of AutoAttack (arXiv:2003.01690).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workers.engine.frozen import device_of
from workers.evaluation.probes.subject import Subject

# A few samples tell how an answer is made.
_FEW = 4


def outputs(subject: Subject, x: Tensor) -> dict[str, Tensor]:
    """Ask about the P samples `x` (P, C, H, W) several times."""
    subject.reseed()
    first, second = subject.logits(x), subject.logits(x)
    unit = _unit(first)
    few = x[:_FEW].to(device_of(subject.model))
    return {
        "twice": _apart(_unit(second), unit),
        "mates": _apart(_unit(_among_others(subject, x)), unit),
        "row_sum": first.sum(dim=1),
        "lowest": first.amin(dim=1),
        "highest": first.amax(dim=1),
        "adapts": torch.full((len(x),), _optimises(subject.model, few)),
        "passes": torch.full((len(x),), _passes(subject.model, few)),
    }


def _unit(logits: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(logits, dim=1, keepdim=True)
    return logits / length.clamp_min(1e-10)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs().amax(dim=1)


def _among_others(subject: Subject, x: Tensor) -> Tensor:
    """Return the logits of each sample in batches whose other half is the same pictures inverted, 1 - x."""
    half, parts = max(1, subject.batch_size // 2), []
    for begin in range(0, len(x), half):
        part = x[begin : begin + half]
        parts.append(subject.logits(torch.cat([part, 1 - part]))[: len(part)])
    return torch.cat(parts)


def _optimises(model: nn.Module, x: Tensor) -> bool:
    """Whether a forward without gradients keeps tensors for a backward: something inside has turned gradients on."""
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += 1
        return tensor

    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(x.clone())
    return kept > 0


def _passes(model: nn.Module, x: Tensor) -> int:
    """How many inputs the first layer with weights sees for each sample; 1 where there is no such layer."""
    seen: dict[nn.Module, int] = {}

    def count(layer: nn.Module, inputs: tuple[object, ...], _: object) -> None:
        rows = len(inputs[0]) if inputs and isinstance(inputs[0], Tensor) else 0
        seen[layer] = seen.get(layer, 0) + rows

    weighted = [layer for layer in model.modules() if next(layer.parameters(recurse=False), None) is not None]
    handles = [layer.register_forward_hook(count) for layer in weighted]
    try:
        with torch.no_grad():
            model(x.clone())
    finally:
        for handle in handles:
            handle.remove()
    return round(next(iter(seen.values()), len(x)) / len(x))
