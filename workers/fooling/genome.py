"""The genome of a CPPN: a small feed-forward network whose neurons differ in their functions.

Nodes are numbered: inputs from 0 on, then outputs, then hidden neurons in the order in which they came up, so that a
number means the same neuron in all who have it from one ancestor. Hidden neurons stand in an order in which no
connection leads backwards.

Source: arXiv:1412.1897, section 2.3; rates and operators of the authors' code (EvolvingAI Lab, "fooling").
Differs from the code in: a new neuron splits a connection, as in NEAT (Stanley and Miikkulainen 2002); a connection is
moved by being taken away and added elsewhere with its weight; weights cross where both parents have the connection.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from torch import Tensor

from workers.fooling.operators import polynomial_mutation, simulated_binary_crossover

INPUTS: Final = 4  # u, v, radius, bias
FUNCTIONS: Final = 4  # sine, sigmoid, gaussian, linear: see `cppn.activated`
WIDEST: Final = 10.0  # weights are in [-WIDEST, WIDEST]

_CROSSOVER: Final = 0.5
_ETA_C: Final = 10.0

Connection = tuple[int, int]  # from, to


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Probabilities: the first five for each child, `mutation` for each weight and each function."""

    add_neuron: float = 0.5
    remove_neuron: float = 0.2
    add_connection: float = 0.5
    remove_connection: float = 0.3
    change_connection: float = 0.5
    mutation: float = 0.1
    # Sharpness of the polynomial mutation of weights.
    eta_m: float = 15.0


@dataclass
class Genome:
    """One network. Nobody changes it once it is in an archive: children are changed copies."""

    outputs: int
    hidden: list[int] = field(default_factory=list)
    functions: dict[int, int] = field(default_factory=dict)  # of outputs and hidden neurons
    weights: dict[Connection, float] = field(default_factory=dict)

    def copy(self) -> Genome:
        """A child before anything is different."""
        return Genome(self.outputs, list(self.hidden), dict(self.functions), dict(self.weights))

    def free(self) -> list[Connection]:
        """All connections that could be added."""
        place = {node: order for order, node in enumerate(self.hidden)}
        ends = [*self.hidden, *range(INPUTS, INPUTS + self.outputs)]
        return [
            (start, end)
            for end in ends
            for start in (*range(INPUTS), *self.hidden[: place.get(end, len(self.hidden))])
            if (start, end) not in self.weights
        ]


class Breeder:
    """Makes genomes and changes them, with random numbers of its own."""

    def __init__(self, outputs: int, rates: Rates, generator: torch.Generator) -> None:
        """The generator is asked once, for a seed."""
        self._outputs, self._rates = outputs, rates
        seed = int(torch.randint(2**62, (), generator=generator))
        self._random = np.random.default_rng(seed)
        self._numbers = itertools.count(INPUTS + outputs)

    def random(self, count: int) -> list[Genome]:
        """Networks without hidden neurons, every input connected to every output; weights and functions are random."""
        return [self._newborn() for _ in range(count)]

    def children(self, parents: list[Genome], others: list[Genome]) -> list[Genome]:
        """A child of each parent: crossed with the other one or not, then changed in structure and numbers."""
        children = [parent.copy() for parent in parents]
        self._cross(children, others)
        for child in children:
            self._restructure(child)
            self._change_functions(child)
        self._mutate_weights(children)
        return children

    def _newborn(self) -> Genome:
        nodes = range(INPUTS, INPUTS + self._outputs)
        connections = itertools.product(range(INPUTS), nodes)
        functions = {node: int(self._random.integers(FUNCTIONS)) for node in nodes}
        weights = {connection: self._weight() for connection in connections}
        return Genome(self._outputs, functions=functions, weights=weights)

    def _weight(self) -> float:
        return float(self._random.uniform(-WIDEST, WIDEST))

    def _chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)

    def _cross(self, children: list[Genome], others: Iterable[Genome]) -> None:
        """Cross the weights of the connections that child and other have in common."""
        chosen = [pair for pair in zip(children, others, strict=True) if self._chance(_CROSSOVER)]
        shared = [(child, other, key) for child, other in chosen for key in child.weights if key in other.weights]
        theirs = torch.tensor([other.weights[key] for _, other, key in shared], dtype=torch.float64)

        def crossed(own: Tensor, uniform: Tensor) -> Tensor:
            return simulated_binary_crossover(own, theirs, uniform, eta=_ETA_C, low=-WIDEST, high=WIDEST)

        self._rewrite([(child, key) for child, _, key in shared], crossed)

    def _mutate_weights(self, children: list[Genome]) -> None:
        every = [(child, key) for child in children for key in child.weights]
        hit = self._random.random(len(every)) < self._rates.mutation

        def mutated(own: Tensor, uniform: Tensor) -> Tensor:
            return polynomial_mutation(own, uniform, eta=self._rates.eta_m, low=-WIDEST, high=WIDEST)

        self._rewrite([place for place, is_hit in zip(every, hit, strict=True) if is_hit], mutated)

    def _rewrite(self, places: list[tuple[Genome, Connection]], change: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Change some weights of some genomes, all at once."""
        own = torch.tensor([genome.weights[key] for genome, key in places], dtype=torch.float64)
        uniform = torch.from_numpy(self._random.random(len(places)))
        for (genome, key), weight in zip(places, change(own, uniform).tolist(), strict=True):
            genome.weights[key] = weight

    def _change_functions(self, child: Genome) -> None:
        for node, draw in zip(child.functions, self._random.random(len(child.functions)), strict=True):
            if draw < self._rates.mutation:
                child.functions[node] = int(self._random.integers(FUNCTIONS))

    def _restructure(self, child: Genome) -> None:
        """Add, remove and move, each with its own probability; what can't be done is left out."""
        rates = self._rates
        if self._chance(rates.add_neuron):
            self._add_neuron(child)
        if self._chance(rates.remove_neuron):
            self._remove_neuron(child)
        if self._chance(rates.add_connection):
            self._add_connection(child, self._weight())
        if self._chance(rates.remove_connection):
            self._remove_connection(child)
        if self._chance(rates.change_connection) and child.free():
            weight = self._remove_connection(child)
            if weight is not None:
                self._add_connection(child, weight)

    def _add_neuron(self, child: Genome) -> None:
        """Split a connection: 1 into the new neuron, the old weight out of it."""
        if not child.weights:
            return
        start, end = self._one_of(list(child.weights))
        weight = child.weights.pop((start, end))
        node = next(self._numbers)
        child.hidden.insert(child.hidden.index(end) if end in child.hidden else len(child.hidden), node)
        child.functions[node] = int(self._random.integers(FUNCTIONS))
        child.weights[start, node] = 1.0
        child.weights[node, end] = weight

    def _remove_neuron(self, child: Genome) -> None:
        if not child.hidden:
            return
        node = child.hidden.pop(int(self._random.integers(len(child.hidden))))
        del child.functions[node]
        child.weights = {ends: weight for ends, weight in child.weights.items() if node not in ends}

    def _add_connection(self, child: Genome, weight: float) -> None:
        if free := child.free():
            child.weights[self._one_of(free)] = weight

    def _remove_connection(self, child: Genome) -> float | None:
        """Return the weight that it had; None where there is no connection."""
        return child.weights.pop(self._one_of(list(child.weights))) if child.weights else None

    def _one_of(self, connections: list[Connection]) -> Connection:
        return connections[int(self._random.integers(len(connections)))]
