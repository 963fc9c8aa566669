"""Counts what a net is asked for, whoever asks: samples forward, samples backward, and whether weights were derived.

Under `vmap` one backward would stand for many; nobody here uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Tally:
    """What one call of an attack cost, in samples."""

    forwards: int = 0
    backwards: int = 0
    calls: int = 0  # of the net, each with a batch
    weight_gradients: int = 0  # backward passes that also derived by the weights, which no attack needs

    def __deepcopy__(self, _: object) -> Tally:
        """A copy of the net, such as an engine may make for itself, counts here too."""
        return self


class Counted(nn.Module):
    """The net `inner` with a tally; its logits are those of `inner`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.tally = Tally()
        first = next(inner.parameters())
        if first.requires_grad:
            first.register_hook(self._derived)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, ...) -> logits (N, K)."""
        self.tally.forwards += len(x)
        self.tally.calls += 1
        logits: Tensor = self.inner(x)
        if logits.requires_grad:
            logits.register_hook(self._backward)
        return logits

    def _backward(self, gradient: Tensor) -> None:
        self.tally.backwards += len(gradient)

    def _derived(self, _: Tensor) -> None:
        self.tally.weight_gradients += 1
