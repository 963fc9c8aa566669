"""The nets that are trained, untrained, with the weights that everybody begins with.

wong_cnn            conv16 4x4/2, conv32 4x4/2, fc100 (arXiv:2001.03994), as in our registry
four_convolutions   3x3 convolutions 32, 32, pool, 64, 64, pool, each with batch normalisation, then fc200
"""

from __future__ import annotations

import torch
from torch import nn

from workers.models import Classifier, Signature, build

SHAPE, CLASSES = (1, 28, 28), 10


def net(name: str) -> Classifier:
    """The net by its name, in torch's ordinary memory layout."""
    if name == "wong_cnn":
        return build(Signature(name, SHAPE, CLASSES), seed=0).to(memory_format=torch.contiguous_format)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Classifier(Signature(name, SHAPE, CLASSES), four_convolutions(), SHAPE[1:])


def four_convolutions() -> nn.Sequential:
    """The small net of benchmarks/attacks with batch normalisation, without which it would train more slowly."""
    layers: list[nn.Module] = []
    for before, channels in ((1, 32), (32, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(before, channels, 3, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        if before == channels:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 200), nn.ReLU(), nn.Linear(200, CLASSES))
