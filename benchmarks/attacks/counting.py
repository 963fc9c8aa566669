"""Counts what a net is asked for, whoever asks: samples forward, samples backward, samples that weights derive from.

Under `vmap` one backward would stand for many; nobody here uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.func import functional_call


@dataclass
class Tally:
    """What one call of an attack or one training cost, in samples."""

    forwards: int = 0
    backwards: int = 0
    calls: int = 0  # of the net, each with a batch
    weight_gradients: int = 0  # samples of the forwards whose backward also derived by the weights: no attack needs any

    def __deepcopy__(self, _: object) -> Tally:
        """A copy of the net, such as an engine may make for itself, counts here too."""
        return self

    @property
    def units(self) -> int:
        """Forward, backward to the input and gradient by the weights count 1 each."""
        return self.forwards + self.backwards + self.weight_gradients


class Counted(nn.Module):
    """The net `inner` with a tally; its logits are those of `inner`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.tally = Tally()

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, ...) -> logits (N, K)."""
        count = len(x)
        self.tally.forwards += count
        self.tally.calls += 1
        logits: Tensor = functional_call(self.inner, self._watched(count), (x,))
        if logits.requires_grad:
            logits.register_hook(self._backward)
        return logits

    def _watched(self, count: int) -> dict[str, Tensor]:
        """The first weights that can be derived by, as another tensor in each call: its hook tells whose they are.

        A hook of the parameter itself would be called once for all calls of the net that a loss is made of.
        """
        for name, parameter in self.inner.named_parameters():
            if parameter.requires_grad:
                own = parameter.view_as(parameter)
                if own.requires_grad:  # not under no_grad
                    own.register_hook(lambda _: self._derived(count))
                return {name: own}
        return {}

    def _backward(self, gradient: Tensor) -> None:
        self.tally.backwards += len(gradient)

    def _derived(self, count: int) -> None:
        self.tally.weight_gradients += count
