"""How the model is asked: plainly, or by replaying CUDA graphs of the same computation.

For small batches a GPU waits for Python to launch one kernel after the other; a captured graph launches them all at
once. Measured (benchmarks/cuda_choices.py; H100, torch 2.11, TF32 on, a step of BIM against the eager loop): small
net 0.12 at N = 1, 0.16 at 32, 0.47 at 256, 0.97 at 1024; ResNet-18 for 32 x 32 0.16, 0.33, 0.95, 0.99. The points are
the same bit by bit.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from workers.engine.memory import InPieces
from workers.goals import Aim, Ascent, Model
from workers.losses import Loss

# Batches above it keep the GPU busy by themselves.
_LARGEST: Final = 512

# What a size that comes up is rounded up to, so that a batch that shrinks meets a few graphs and not one per step.
_SIZES: Final = tuple(sorted({1, 3} | {2**k for k in range(1, 10)} | {3 * 2**k for k in range(1, 8)}))

# Runs before a capture: the libraries choose their kernels and make room in the first ones.
_WARM_UP: Final = 3


class Propagator(Protocol):
    """Where every propagation of a run passes."""

    def ascent(self, aim: Aim, model: Model, x: Tensor, loss: Loss | None) -> Ascent:
        """Return gradient, logits and objective of `x`; see `goals.Goal`."""

    def logits(self, model: Model, x: Tensor) -> Tensor:
        """Return the logits of `x`, without a graph for gradients."""


class Eager:
    """Every propagation is launched operation by operation."""

    def ascent(self, aim: Aim, model: Model, x: Tensor, loss: Loss | None) -> Ascent:
        """Return gradient, logits and objective; see `Propagator`."""
        return aim.ascent(model, x, loss=loss)

    def logits(self, model: Model, x: Tensor) -> Tensor:
        """Return the logits; see `Propagator`."""
        with torch.no_grad():
            return model(x)


@dataclass(frozen=True)
class _Captured:
    """A graph, with the tensors that it reads and writes."""

    replay: Callable[[], None]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Replay for n <= N rows; the rows beyond are what they were, and nobody looks at them."""
        count = len(given[0])
        for buffer, value in zip(self.inputs, given, strict=True):
            buffer[:count].copy_(value)
        self.replay()
        return tuple(output[:count].clone() for output in self.outputs)


class Graphed(Eager):
    """Propagations of one model on a GPU, captured once for each shape and objective and replayed from then on.

    Only for models that compute the same operations whatever they are shown: what Python decides while a graph is being
    captured is decided for ever. A model that can't be captured is asked eagerly. The graphs share their memory, which
    is why their outputs are copied before the next one is replayed.
    """

    def __init__(self, model: nn.Module) -> None:
        """`model` is the one whose propagations are captured, and is not kept alive; any other is asked eagerly."""
        self._model = weakref.ref(model)
        self._graphs: dict[object, _Captured | None] = {}
        self._pool: Any = None

    def ascent(self, aim: Aim, model: Model, x: Tensor, loss: Loss | None) -> Ascent:
        """Return gradient, logits and objective; see `Propagator`."""
        names = [spec.name for spec in fields(aim) if isinstance(getattr(aim, spec.name), Tensor)]
        labels = [getattr(aim, name) for name in names]

        def work(point: Tensor, *held: Tensor) -> tuple[Tensor, ...]:
            same: Any = dict(zip(names, held, strict=True))
            return tuple(replace(aim, **same).ascent(model, point, loss=loss))

        graph = self._graph((type(aim), aim.loss, loss), model, work, x, labels)
        return super().ascent(aim, model, x, loss) if graph is None else Ascent(*graph(x, *labels))

    def logits(self, model: Model, x: Tensor) -> Tensor:
        """Return the logits; see `Propagator`."""
        ask = super().logits
        graph = self._graph("logits", model, lambda point: (ask(model, point),), x, [])
        return ask(model, x) if graph is None else graph(x)[0]

    def _graph(
        self,
        what: object,
        model: Model,
        work: Callable[..., tuple[Tensor, ...]],
        x: Tensor,
        labels: list[Tensor],
    ) -> _Captured | None:
        """Return the graph of some work for batches of this size, captured now if need be; None: there is none."""
        if not 0 < len(x) <= _LARGEST:
            return None
        size = next(size for size in _SIZES if size >= len(x))
        whole = model.module if isinstance(model, InPieces) and size <= model.portion.size else model
        if whole is not self._model():
            return None
        layout = _layout(x)
        key = (what, size, x.shape[1:], x.dtype, layout)
        if key not in self._graphs:
            rows = torch.arange(size, device=x.device) % len(x)
            point = x.detach()[rows].contiguous(memory_format=layout)
            self._graphs[key] = self._capture(work, (point, *(label[rows] for label in labels)))
        return self._graphs[key]

    def _capture(self, work: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...]) -> _Captured | None:
        """Capture some work; None where it can't be, for instance as it waits for the device."""
        try:
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    work(*inputs)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            with torch.cuda.graph(graph, pool=self._pool):
                outputs = work(*inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            torch.cuda.synchronize()
            return None
        return _Captured(graph.replay, inputs, outputs)


def _layout(x: Tensor) -> torch.memory_format:
    """Return how a batch lies in memory."""
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
