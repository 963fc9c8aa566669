"""A network that computes in bfloat16 for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from torch import Tensor

from workers.models import Classifier


@contextmanager
def in_bfloat16(network: Classifier) -> Iterator[None]:
    """Let the network compute in bfloat16 where torch's autocast says so, for whoever asks it, and answer in float32.

    Weights, inputs, gradients and losses stay float32. The method is put on the instance, so that the network itself is
    still what a defense is given, and a copy of it computes in the same way.
    """
    network.forward = MethodType(_forward, network)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del network.forward


def _forward(self: Classifier, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        return type(self).forward(self, x).float()
