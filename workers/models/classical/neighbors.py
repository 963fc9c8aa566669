"""The k nearest neighbours, and a smooth function that resembles them."""

from __future__ import annotations

import itertools
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.models.classical.distances import squared_distances

# Samples whose neighbours are looked for at once.
_AT_ONCE: Final = 256
# References beyond the k nearest by float32 whose distance is computed exactly.
_SPARE: Final = 32
# The share of votes that a class without any is given, so that its logarithm is a number.
_NO_VOTE: Final = 1e-9
# The soft score of a class without any reference.
_NO_REFERENCE: Final = -1e9


class NearestNeighbors(nn.Module):
    """The share that each class has among the k references nearest to x in Euclidean distance, as its logarithm.

    softmax(z) is that share, but for 1e-9 in the place of 0. Piecewise constant: it has no gradient; `soft` has one.
    """

    references: Tensor  # (R, D)
    labels: Tensor  # (R,) int64, ascending
    k: Tensor  # () int64, 1 <= k <= R

    def __init__(self, references: Tensor, labels: Tensor, k: int, classes: int) -> None:
        super().__init__()
        order = labels.argsort(stable=True)
        self.register_buffer("references", references[order].float())
        self.register_buffer("labels", labels[order])
        self.register_buffer("k", torch.tensor(k))
        self.classes = classes
        self._k = k
        # Where each class begins among the references, and where the last one ends.
        self._begins = [0, *torch.bincount(labels, minlength=classes).cumsum(0).tolist()]

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, K)."""
        pixels = x.detach().flatten(1)
        votes = torch.cat([self._votes(pixels[i : i + _AT_ONCE]) for i in range(0, max(1, len(x)), _AT_ONCE)])
        return (votes / self._k).clamp_min(_NO_VOTE).log()

    def _votes(self, x: Tensor) -> Tensor:
        """Count the votes of the k nearest, (n, K); of equally near references, the first has it."""
        few = min(len(self.references), self._k + _SPARE)
        nearest = squared_distances(x, self.references).topk(few, largest=False).indices.sort(dim=1).values
        exact = (self.references[nearest].double() - x.double().unsqueeze(1)).square().sum(dim=2)  # (n, few)
        chosen = nearest.gather(1, exact.argsort(dim=1, stable=True)[:, : self._k])
        return F.one_hot(self.labels[chosen], self.classes).sum(dim=1).float()

    def soft(self, x: Tensor, temperature: float) -> Tensor:
        """Return logits (N, K) of the smoothed nearest neighbour, differentiable in x (N, C, H, W).

            p_k(x) = sum_{i of class k} exp(-|x - r_i|^2 / T) / sum_i exp(-|x - r_i|^2 / T),   softmax(z) = p

        Each class is summed by itself in logarithms, so that a class as far away as exp(-1000) still has its slope.
        `temperature` T > 0 in squared pixel units; the smaller, the more it is the vote of the one nearest.
        Source: arXiv:1605.07277, section 3, where T = 1.
        """
        scores = squared_distances(x.flatten(1), self.references) / -temperature
        none = scores.new_full((len(x),), _NO_REFERENCE)
        spans = itertools.pairwise(self._begins)
        return torch.stack([scores[:, a:b].logsumexp(dim=1) if a < b else none for a, b in spans], dim=1)
