"""What is inside a model, for attacks that read more of it than its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

from workers.models.classifier import Classifier

Kind = TypeVar("Kind", bound=nn.Module)


@dataclass(frozen=True)
class Located(Generic[Kind]):
    """A network of the kind that was looked for, and what happens to pixels before it sees them."""

    network: Kind
    # (N, C, H, W) in [0, 1] to what the network sees, pixel by pixel and ascending in each of them.
    normalize: Callable[[Tensor], Tensor]


def find(model: object, kind: type[Kind]) -> Located[Kind] | None:
    """Return the network of this kind that `model` is or wraps; None where it is another, or sees resized pictures.

    `model` is the network itself, a `Classifier` around it, or a function with one of these, or with another such
    function, as its `module`, which is what the engine hands to an attack.
    """
    module = model
    while not isinstance(module, nn.Module) and hasattr(module, "module"):
        module = module.module
    if isinstance(module, kind):
        return Located(module, nn.Identity())
    if isinstance(module, Classifier) and isinstance(module.resize, nn.Identity) and isinstance(module.network, kind):
        return Located(module.network, module.normalize)
    return None
