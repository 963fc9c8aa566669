"""Decision tree."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from workers.failures import Rejected

# The most decisions on the way to a leaf.
DEEPEST: Final = 256
# The probability that a class which a leaf has never seen is given, so that its logarithm is a number.
UNSEEN: Final = 1e-9


class DecisionTree(nn.Module):
    """From the root down: left where pixel feature[n] <= threshold[n], else right; at the leaf, log-probabilities.

    Nodes are numbered from the root, which is 0, and every child has a higher number than its parent. A leaf is its
    own left and right child. softmax(z) is the leaf's distribution, but for 1e-9 in the place of 0. There is no
    gradient: the score is constant inside each leaf.
    """

    feature: Tensor  # (M,) int64, a place in the flattened picture; not used at leaves
    threshold: Tensor  # (M,) float32
    left: Tensor  # (M,) int64
    right: Tensor  # (M,) int64
    distribution: Tensor  # (M, K) float32, of the training samples at each node

    def __init__(self, feature: Tensor, threshold: Tensor, left: Tensor, right: Tensor, distribution: Tensor) -> None:
        super().__init__()
        self.register_buffer("feature", feature)
        self.register_buffer("threshold", threshold)
        self.register_buffer("left", left)
        self.register_buffer("right", right)
        self.register_buffer("distribution", distribution)
        self.depth = int(depths(left, right).amax())

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, K)."""
        return self.distribution[self.leaf(x)].clamp_min(UNSEEN).log()

    def leaf(self, x: Tensor) -> Tensor:
        """Return the number of the leaf where each sample ends, (N,)."""
        pixels = x.detach().flatten(1)
        node = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for _ in range(self.depth):
            value = pixels.gather(1, self.feature[node].unsqueeze(1)).squeeze(1)
            node = torch.where(value <= self.threshold[node], self.left[node], self.right[node])
        return node

    @property
    def leaves(self) -> Tensor:
        """The numbers of the leaves, (L,), ascending."""
        return (self.left == torch.arange(len(self.left), device=self.left.device)).nonzero().squeeze(1)


def parents(left: Tensor, right: Tensor) -> Tensor:
    """Return the parent of each node, (M,); a root is its own."""
    parent = torch.arange(len(left), device=left.device)
    inner = (left != parent).nonzero().squeeze(1)
    parent[left[inner]] = inner
    parent[right[inner]] = inner
    return parent


def depths(left: Tensor, right: Tensor) -> Tensor:
    """Return how many decisions lead from its root to each node, (M,); raises Rejected for more than `DEEPEST`."""
    parent = parents(left, right)
    depth, ancestor = torch.zeros_like(left), torch.arange(len(left), device=left.device)
    for _ in range(DEEPEST):
        depth += parent[ancestor] != ancestor
        ancestor = parent[ancestor]
    if bool((parent[ancestor] != ancestor).any()):
        raise Rejected(
            "MODEL_DOES_NOT_FIT", f"the tree is deeper than {DEEPEST} decisions; fit it with a maximum depth"
        )
    return depth
