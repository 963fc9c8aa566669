"""A committee of networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.models.components.kind import Component, Make, mean_answer, require_within

MOST_MEMBERS = 64


@dataclass(frozen=True, kw_only=True)
class Committee(Component):
    """Networks of one architecture that begin with weights of their own; the answer is the mean of their softmaxes.

    z_k = log (1/M) sum_{m <= M} softmax(f^m(x))_k

    `members` M in [1, 64].

    Source: arXiv:1412.6572, section 9 (a committee of twelve maxout nets).
    """

    members: int

    def __post_init__(self) -> None:
        require_within("members", self.members, 1, MOST_MEMBERS)

    def around(self, make: Make, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
        """See `Component`."""
        del input_shape
        return Members([make(classes) for _ in range(self.members)])


class Members(nn.Module):
    """The networks of a committee."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, K)."""
        return mean_answer(self.each(x))

    def each(self, x: Tensor) -> Tensor:
        """The logits of every member, (M, N, K)."""
        return torch.stack([member(x) for member in self.members])
