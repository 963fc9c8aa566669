"""The direct encoding: a genome is a picture, and every number of it mutates by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from workers.fooling.operators import polynomial_mutation

# After so many generations the mutation rate is halved (arXiv:1412.1897, section 2.3).
_HALVED_EVERY: Final = 1000


class Direct:
    """Pictures from U(0, 1); a child differs from its parent in a share of its pixels, by polynomial mutation."""

    def __init__(self, *, like: Tensor, mutation_rate: float, eta_m: float, generator: torch.Generator) -> None:
        """`like` is one picture, of any shape; `mutation_rate` is that of the first 1,000 generations."""
        self._like, self._rate, self._eta, self._generator = like, mutation_rate, eta_m, generator

    def random(self, count: int) -> list[Tensor]:
        """Return pictures of independent pixels."""
        return list(self._uniform(count))

    def children(self, parents: list[Tensor], others: list[Tensor], generation: int) -> list[Tensor]:
        """Return a mutated copy of each parent; there is no crossover."""
        del others
        values = torch.stack(parents)
        mutated = polynomial_mutation(values, self._uniform(len(parents)), eta=self._eta, low=0, high=1)
        rate = self._rate * 0.5 ** (generation // _HALVED_EVERY)
        return list(mutated.where(self._uniform(len(parents)) < rate, values))

    def express(self, genomes: Sequence[Tensor]) -> Tensor:
        """Return the pictures as they are."""
        return torch.stack(list(genomes))

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, *self._like.shape, generator=self._generator).to(self._like)
