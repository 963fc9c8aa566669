"""MAP-Elites with one niche per class.

    first generation: random genomes
    every other one:  children of champions that are drawn at random
    after each:       whoever is surer of a class than its champion takes its place, in as many classes as it can

Legend: B pictures of one generation, A classes of the archive.

Source: arXiv:1412.1897, section 2.2; arXiv:1504.04909 (MAP-Elites).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import Generators

Genome = TypeVar("Genome")

# log p(class | picture) of B pictures for A classes, (B, A).
Fitness = Callable[[Tensor], Tensor]


class Encoding(Protocol[Genome]):
    """How pictures are written down, and how what is written changes."""

    def random(self, count: int) -> list[Genome]:
        """Return the genomes of a first generation."""

    def children(self, parents: list[Genome], others: list[Genome], generation: int) -> list[Genome]:
        """Return a child of each parent; `others` are those that it may be crossed with. Generations count from 0."""

    def express(self, genomes: Sequence[Genome]) -> Tensor:
        """Return the pictures, (B, ...) in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Champions(Generic[Genome]):
    """The best genome of each class, and what it looks like."""

    genomes: list[Genome]
    pictures: Tensor  # (A, ...)
    fitness: Tensor  # (A,) log p of its class


class Judge:
    """The fitness of pictures in the classes of a goal, by score queries that are charged to its N rows in turn."""

    def __init__(self, goal: Goal, model: Model, *, count: int) -> None:
        """`count` is N. `row` (N,) then says which champion is each sample's."""
        self._goal, self._model, self._count = goal, model, count
        self.classes, self.row = torch.unique(goal.label, return_inverse=True)  # (A,), (N,)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return log p(class | picture), (B, A)."""
        rows = torch.arange(len(pictures), device=pictures.device) % self._count
        # No candidates: the goal calls a picture a success as soon as its class is ahead, which is far from sure.
        logits = self._goal.logits(self._model, pictures, rows, candidates=False)
        return logits.float().log_softmax(dim=1)[:, self.classes]


def evolve(
    encoding: Encoding[Genome],
    fitness: Fitness,
    *,
    generations: int,
    offspring: int,
    generator: torch.Generator,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Champions[Genome]:
    """Breed `generations` generations of `offspring` pictures each, after a first random one; judge each in one call.

    Everything random comes from `generator` and from the encoding's own. `watch` is told the number of each generation,
    from 0 for the random one on, and the champions' fitness (A,) after it.
    """
    genomes = encoding.random(offspring)
    pictures = encoding.express(genomes)
    scores = fitness(pictures)  # (B, A)
    best, row = scores.max(dim=0)
    champions = Champions([genomes[i] for i in row.tolist()], pictures[row], best)
    for generation in range(generations + 1):
        if watch is not None:
            watch(generation, champions.fitness)
        if generation == generations:
            break
        drawn = torch.randint(len(champions.genomes), (2, offspring), generator=generator).tolist()
        parents, others = ([champions.genomes[i] for i in half] for half in drawn)
        genomes = encoding.children(parents, others, generation)
        pictures = encoding.express(genomes)
        champions = _challenged(champions, genomes, pictures, fitness(pictures))
    return champions


def _challenged(
    champions: Champions[Genome], genomes: list[Genome], pictures: Tensor, scores: Tensor
) -> Champions[Genome]:
    """Return the champions after each class has met the best of B newcomers at it."""
    best, row = scores.max(dim=0)
    better = best > champions.fitness
    kept = zip(champions.genomes, row.tolist(), better.tolist(), strict=True)
    wins = better.view(-1, *[1] * (pictures.ndim - 1))
    return Champions(
        [genomes[challenger] if won else champion for champion, challenger, won in kept],
        torch.where(wins, pictures[row], champions.pictures),
        torch.where(better, best, champions.fitness),
    )


def first_stream(generator: Generators) -> torch.Generator:
    """The stream of a whole population: that of its first row."""
    return generator if isinstance(generator, torch.Generator) else generator[0]
