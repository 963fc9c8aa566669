"""The small networks of the literature on digits, for any input size, number of channels and number of classes."""

from __future__ import annotations

import math

from torch import nn


def softmax_regression(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Logits linear in the pixels: z = W x + b (arXiv:1412.6572)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def mlp(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Two hidden layers of 200 rectified linear units."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), 200),
        nn.ReLU(),
        nn.Linear(200, 200),
        nn.ReLU(),
        nn.Linear(200, classes),
    )


def madry_cnn(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Madry's net for MNIST (arXiv:1706.06083): conv 32, pool, conv 64, pool, fully connected 1024."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(64 * math.ceil(height / 4) * math.ceil(width / 4), 1024),
        nn.ReLU(),
        nn.Linear(1024, classes),
    )


def wong_cnn(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Wong's net for MNIST (arXiv:2001.03994): strided conv 16, strided conv 32, fully connected 100."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), 100),
        nn.ReLU(),
        nn.Linear(100, classes),
    )


def threshold_cnn(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Wong's net behind a 1x1 convolution of four rectified units, which can put a threshold on each pixel by itself.

    A perturbation that is bounded in every pixel is taken away from pixels near 0 and 1 by a steep step between them;
    the first layer of a robust net on digits comes close to one (arXiv:1706.06083, appendix C).
    """
    channels, height, width = shape
    return nn.Sequential(nn.Conv2d(channels, 4, 1), nn.ReLU(), *wong_cnn((4, height, width), classes).children())


def mlp_bn(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Two hidden layers of 600 rectified linear units, batch normalisation before each (arXiv:1507.00677, section 4).

    Differs from the paper in: half as wide as its semi-supervised net of 1200 and 1200.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), 600),
        nn.BatchNorm1d(600),
        nn.ReLU(),
        nn.Linear(600, 600),
        nn.BatchNorm1d(600),
        nn.ReLU(),
        nn.Linear(600, classes),
    )
