"""Multilayer nets with other units than rectified ones, for any input size and number of classes.

dropout_mlp      784-200-200-10, rectified, with dropout of one half in both hidden layers
sigmoid_mlp      784-200-200-10, sigmoid units
maxout_mlp       784-240-240-10, each unit the largest of five linear pieces
competing_mlp    784-200-200-10, linear units in pairs, of which the larger one passes
rbf_network      784-300-10, Gaussian units around centres that are learned
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from workers.models.classical.distances import squared_distances

_HIDDEN: Final = 200
_DROPPED: Final = 0.5
_MAXOUT: Final = 240
_PIECES: Final = 5
_GAUSSIANS: Final = 300
# The largest coordinate that a centre begins with; the mean pixel of a digit is 0.13.
_CENTRES: Final = 0.3


def dropout_mlp(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Two hidden layers of 200 rectified linear units, each unit dropped with probability 1/2 (arXiv:1207.0580).

    Differs from the paper in: the inputs are not dropped.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), _HIDDEN),
        nn.ReLU(),
        nn.Dropout(_DROPPED),
        nn.Linear(_HIDDEN, _HIDDEN),
        nn.ReLU(),
        nn.Dropout(_DROPPED),
        nn.Linear(_HIDDEN, classes),
    )


def sigmoid_mlp(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Two hidden layers of 200 sigmoid units."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), _HIDDEN),
        nn.Sigmoid(),
        nn.Linear(_HIDDEN, _HIDDEN),
        nn.Sigmoid(),
        nn.Linear(_HIDDEN, classes),
    )


def maxout_mlp(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Two hidden layers of 240 maxout units of five pieces each, as on the digits of arXiv:1302.4389, section 5.1."""
    return nn.Sequential(
        nn.Flatten(),
        Maxout(math.prod(shape), _MAXOUT, _PIECES),
        Maxout(_MAXOUT, _MAXOUT, _PIECES),
        nn.Linear(_MAXOUT, classes),
    )


def competing_mlp(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Two hidden layers of 200 linear units that compete in pairs (Srivastava et al. 2013; arXiv:1410.1165)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), _HIDDEN),
        Competition(),
        nn.Linear(_HIDDEN, _HIDDEN),
        Competition(),
        nn.Linear(_HIDDEN, classes),
    )


def rbf_network(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """One hidden layer of 300 Gaussian units (Broomhead and Lowe 1988), then a linear layer."""
    return nn.Sequential(nn.Flatten(), Gaussians(math.prod(shape), _GAUSSIANS), nn.Linear(_GAUSSIANS, classes))


class Maxout(nn.Module):
    """Computes h_i = max_j (W_ij . x + b_ij) over the pieces j of each unit i."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, D) -> (N, units)."""
        candidates: Tensor = self.linear(x)
        return candidates.view(len(x), -1, self.pieces).amax(dim=2)


class Competition(nn.Module):
    """Passes the larger unit of each pair, whatever its sign, and silences the other; of two equal ones, either."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, D) -> (N, D), D even."""
        pairs = x.view(len(x), -1, 2)
        best = pairs.max(dim=2, keepdim=True)
        return torch.zeros_like(pairs).scatter(2, best.indices, best.values).flatten(1)


class Gaussians(nn.Module):
    """Computes h_j = exp(-gamma_j |x - c_j|^2) for centres c_j and widths gamma_j > 0, both learned.

    Far from all centres every unit is 0, whatever x is, and so is its slope.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.empty(units, inputs))
        # The logarithm of gamma, so that every number is a width; at first the typical distance is one width.
        self.log_gamma = nn.Parameter(torch.empty(units))
        nn.init.uniform_(self.centers, 0.0, _CENTRES)
        nn.init.constant_(self.log_gamma, -math.log(_CENTRES**2 * inputs))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, D) -> (N, units)."""
        return (-self.log_gamma.exp() * squared_distances(x, self.centers)).exp()
