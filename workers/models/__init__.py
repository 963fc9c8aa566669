"""Image classifiers by name: what a network is besides its weights, and the one safe way in and out for weights.

    build(signature, seed=...)   fresh weights, the same for the same seed; the global random state is left alone
    save(model)                  safetensors bytes, the same for the same weights
    load(data, signature)        a model, after every check that a stranger's file needs

A model takes inputs in [0, 1] of `signature.input_shape`; its first layer normalises. Tensor names are those of the
network itself, so a state dict of torchvision's `resnet18()` is a valid upload as it stands. What works around it
whenever it is asked (`components`) is part of the model, and of its file. Models come in eval mode.
"""

from __future__ import annotations

from workers.models.classifier import Classifier
from workers.models.modes import evaluating
from workers.models.registry import Architecture, architectures
from workers.models.signature import Signature
from workers.models.weights import build, count, load, save

__all__ = ["Architecture", "Classifier", "Signature", "architectures", "build", "count", "evaluating", "load", "save"]
