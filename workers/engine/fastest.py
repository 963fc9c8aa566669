"""The fastest way to ask a network of the registry that was found by measuring, and that gives the same answers.

On a copy of the network, in evaluation mode and without gradients for its weights, the search is made; what it finds is
judged by the network itself (`verdict`). The copy has its weights in channels-last order where it has convolutions that
gain by it, and on a GPU its propagations are replayed as graphs.

Measured (CPU: one thread of an AMD EPYC beside other work, torch 2.13, medians of 5; GPU: H100, torch 2.11, with graphs
and TF32, benchmarks/cuda_choices.py; channels last against the usual order; benchmarks/cpu_choices.py does it anew):

    forward and input gradient, then a forward alone    CPU           GPU
    four 3x3 convolutions, 32 to 64 channels            0.78  0.64    0.95  0.87   (N = 128; 1024)
    two strided 4x4 convolutions, 16 and 32 channels    1.02  1.30                 (N = 256)
    ResNet-18, 32 x 32                                  0.97  0.99    0.90  0.62   (N = 64; 1024)

Tried and left: batch normalisation folded into the convolutions (0.85 to 0.95 on ResNet-18, by a pass that torch calls
experimental); torch.compile (above 1 for small batches, 6 to 18 s for each new shape); bfloat16 (0.58 on the GPU from
N = 256 on, but what it leaves standing has to be attacked again in float32, so that it pays on nets that break at once
only, which are done in a few steps anyway).
"""

from __future__ import annotations

import copy
import weakref
from typing import Final

import torch
from torch import Tensor, nn

from workers.engine.frozen import device_of
from workers.engine.memory import InPieces
from workers.engine.propagate import Eager, Graphed, Propagator
from workers.goals import Aim, Ascent, Model
from workers.losses import Loss
from workers.models import Classifier

# Convolutions with fewer input channels are no faster channels-last.
_CHANNELS: Final = 16


def fastest(model: nn.Module) -> Propagator:
    """Return the propagator to attack `model` with, for as long as its weights stay as they are now."""
    # The runs before a capture draw numbers too, so that a random model would answer otherwise once it is captured.
    gpu = device_of(model).type == "cuda" and not _draws(model)
    if not _gains(model):
        return Graphed(model) if gpu else Eager()
    twin = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    twin = twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Twin(model, twin, Graphed(twin) if gpu else Eager())


class Twin:
    """Asks a copy in place of the model; any other model is asked itself."""

    def __init__(self, model: nn.Module, twin: nn.Module, inner: Propagator) -> None:
        """`model` is not kept alive."""
        self._model, self._twin, self._inner = weakref.ref(model), twin, inner

    def ascent(self, aim: Aim, model: Model, x: Tensor, loss: Loss | None) -> Ascent:
        """Return gradient, logits and objective; see `Propagator`."""
        return self._inner.ascent(aim, self._instead(model), x, loss)

    def logits(self, model: Model, x: Tensor) -> Tensor:
        """Return the logits; see `Propagator`."""
        return self._inner.logits(self._instead(model), x)

    def _instead(self, model: Model) -> Model:
        if isinstance(model, InPieces):
            return InPieces(self._twin, model.portion) if model.module is self._model() else model
        return self._twin if model is self._model() else model


def _draws(model: nn.Module) -> bool:
    """Whether two answers about the same picture may differ."""
    around = model.signature.component if isinstance(model, Classifier) else None
    return around is not None and around.random


def _gains(model: nn.Module) -> bool:
    """Whether it has a convolution of several channels that looks at every pixel."""
    return any(
        isinstance(module, nn.Conv2d)
        and module.groups == 1
        and module.in_channels >= _CHANNELS
        and module.kernel_size != (1, 1)
        and module.stride == (1, 1)
        for module in model.modules()
    )
