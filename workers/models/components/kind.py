"""What every component has in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

from workers.failures import Rejected

# Makes a network of pixels in [0, 1], (N, C, H, W), with so many outputs, (N, outputs).
Make = Callable[[int], nn.Module]
Kind = TypeVar("Kind", bound=nn.Module)


class Component(ABC):
    """A description of what stands around a network: a frozen dataclass, equal to another of the same numbers.

    Making one of numbers out of their ranges, which are those of `sparring/v1/components.proto`, raises Rejected:
    BAD_SIGNATURE.
    """

    @property
    def random(self) -> bool:
        """Whether two answers about the same picture may differ."""
        return False

    @abstractmethod
    def around(self, make: Make, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
        """The module (N, C, H, W) in [0, 1] -> logits (N, classes), its weights drawn from torch's default generator.

        What `make` makes is drawn first, so that the network inside begins as it would alone.
        """


def part(model: nn.Module, kind: type[Kind]) -> Kind:
    """The component of this kind that `model` is or has inside. Raises Rejected: NO_SUCH_COMPONENT."""
    for module in model.modules():
        if isinstance(module, kind):
            return module
    raise Rejected("NO_SUCH_COMPONENT", f"this needs a model with {kind.__name__} as its component; it has none")


def require_within(name: str, value: float, low: float, high: float) -> None:
    """Refuse a parameter out of its range."""
    if not (math.isfinite(value) and low <= value <= high):
        raise Rejected("BAD_SIGNATURE", f"component: {name} is {value:g}; it must be from {low:g} to {high:g}")


def mean_answer(logits: Tensor) -> Tensor:
    """The logarithm of the mean softmax over V answers: (V, N, K) -> (N, K).

    z_k = log (1/V) sum_v softmax(z^v)_k
    """
    return logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))
