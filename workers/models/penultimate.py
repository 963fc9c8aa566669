"""What the last layer of a network is given: its features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from workers.models.classifier import Classifier


def last_layer(model: Classifier) -> nn.Linear | None:
    """Return the linear layer that gives the scores; None for an architecture that ends otherwise."""
    layers = [module for module in model.network.modules() if not list(module.children())]
    layer = layers[-1] if layers else None
    fits = isinstance(layer, nn.Linear) and layer.bias is not None and layer.out_features == model.signature.classes
    return layer if isinstance(layer, nn.Linear) and fits else None


def features_of(ask: Callable[[Tensor], Tensor], layer: nn.Linear, x: Tensor) -> Tensor:
    """Ask a model about x (N, C, H, W), and return what `layer` was given, (N, F), with a graph where x has one.

    A model that is asked in pieces gives its features in the same order.
    """
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        ask(x)
    finally:
        handle.remove()
    return seen[0] if len(seen) == 1 else torch.cat(seen)
