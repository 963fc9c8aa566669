"""Random forest."""

from __future__ import annotations

import itertools
from typing import Final

import torch
from torch import Tensor, nn

from workers.models.classical.tree import UNSEEN, DecisionTree, depths

# Probabilities that are gathered at once: samples x trees x classes.
_AT_ONCE: Final = 2**22


class RandomForest(nn.Module):
    """The mean of what T decision trees make of x, as its logarithm.

        softmax(z(x)) = 1/T sum_t distribution[leaf_t(x)],   but for 1e-9 in the place of 0

    The trees stand one after another in the arrays of one `DecisionTree`: tree t begins at node roots[t] and ends
    before roots[t + 1], and the numbers of its nodes are those of the arrays. There is no gradient.
    """

    feature: Tensor  # (M,) int64, as in `DecisionTree`
    threshold: Tensor  # (M,) float32
    left: Tensor  # (M,) int64
    right: Tensor  # (M,) int64
    distribution: Tensor  # (M, K) float32
    roots: Tensor  # (T,) int64, ascending from 0

    def __init__(
        self, feature: Tensor, threshold: Tensor, left: Tensor, right: Tensor, distribution: Tensor, *, roots: Tensor
    ) -> None:
        super().__init__()
        self.register_buffer("feature", feature)
        self.register_buffer("threshold", threshold)
        self.register_buffer("left", left)
        self.register_buffer("right", right)
        self.register_buffer("distribution", distribution)
        self.register_buffer("roots", roots)
        self.depth = int(depths(left, right).amax())

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, K)."""
        pixels, classes = x.detach().flatten(1), self.distribution.shape[1]
        many = max(1, _AT_ONCE // (max(1, len(x)) * classes))
        total = pixels.new_zeros(len(x), classes)
        for roots in self.roots.split(many):  # type: ignore[no-untyped-call]
            total += self.distribution[self._leaves(pixels, roots)].sum(dim=1)
        return (total / len(self.roots)).clamp_min(UNSEEN).log()

    def _leaves(self, pixels: Tensor, roots: Tensor) -> Tensor:
        """Return the leaves where the samples end in the trees that begin at `roots`, (N, t)."""
        node = roots.expand(len(pixels), -1)
        for _ in range(self.depth):
            value = pixels.gather(1, self.feature[node])
            node = torch.where(value <= self.threshold[node], self.left[node], self.right[node])
        return node

    def trees(self) -> list[DecisionTree]:
        """Return every tree by itself, in their order."""
        ends = [*self.roots.tolist(), len(self.feature)]
        return [self._tree(slice(begin, end)) for begin, end in itertools.pairwise(ends)]

    def _tree(self, nodes: slice) -> DecisionTree:
        return DecisionTree(
            self.feature[nodes],
            self.threshold[nodes],
            self.left[nodes] - nodes.start,
            self.right[nodes] - nodes.start,
            self.distribution[nodes],
        )
