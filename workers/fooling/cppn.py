"""The CPPN encoding: a genome is a network that paints a picture, pixel by pixel, from the pixel's place.

    pixel at (u, v) = network(u, v, sqrt(u^2 + v^2), 1),   u, v in [-1, 1] from edge to edge

One output paints grey, three paint hue, saturation and brightness; an output o in [-1, 1] stands for (o + 1) / 2.

Source: arXiv:1412.1897, section 2.3; Stanley 2007 (compositional pattern-producing networks); Secretan et al. 2011
(Picbreeder). Differs from the authors' code in: the range of the functions, which is [-1, 1] for all four.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.failures import Rejected
from workers.fooling.genome import FUNCTIONS, INPUTS, Breeder, Genome, Rates


class Cppn:
    """Networks that paint pictures of one size."""

    def __init__(self, *, like: Tensor, rates: Rates, generator: torch.Generator) -> None:
        """`like` is one picture (C, H, W), C = 1 or 3; raises `Rejected` for others."""
        if like.ndim != 3 or like.shape[0] not in (1, 3):
            raise Rejected("SHAPE_MISMATCH", f"a CPPN paints pictures (1 or 3, height, width), not {tuple(like.shape)}")
        self._shape = like.shape
        self._breeder = Breeder(like.shape[0], rates, generator)
        self._places = _places(like)  # (4, H W)

    def random(self, count: int) -> list[Genome]:
        """Return networks without hidden neurons."""
        return self._breeder.random(count)

    def children(self, parents: list[Genome], others: list[Genome], generation: int) -> list[Genome]:
        """Return a child of each parent, the rates being the same in all generations."""
        del generation
        return self._breeder.children(parents, others)

    def express(self, genomes: Sequence[Genome]) -> Tensor:
        """Return the pictures (B, C, H, W)."""
        painted = (paint(genomes, self._places) + 1) / 2
        colours = painted if self._shape[0] == 1 else rgb(painted)
        return colours.clamp(0, 1).view(-1, *self._shape)


def _places(like: Tensor) -> Tensor:
    _, H, W = like.shape
    v, u = torch.meshgrid(torch.linspace(-1, 1, H), torch.linspace(-1, 1, W), indexing="ij")
    places = torch.stack([u, v, (u.square() + v.square()).sqrt(), torch.ones_like(u)])
    return places.flatten(1).to(like)


def paint(genomes: Sequence[Genome], places: Tensor) -> Tensor:
    """The outputs of B networks at P places (4, P): (B, C, P) in [-1, 1].

    All networks are evaluated at once, neuron by neuron: the n-th hidden neuron of each one, then their outputs. A
    network that has fewer than others has neurons without connections in their place.
    """
    B, C = len(genomes), genomes[0].outputs
    weights, functions = _tables(genomes)
    first_output = weights.shape[1] - C
    values = places.new_zeros(B, first_output, places.shape[1])
    values[:, :INPUTS] = places
    weights, kinds = weights.to(places), [rows.to(places.device) for rows in functions]
    for node in range(INPUTS, first_output):
        drive = torch.bmm(weights[:, node : node + 1, :node], values[:, :node])  # (B, 1, P)
        values[:, node] = activated(drive, [rows[:, node : node + 1] for rows in kinds])[:, 0]
    drive = torch.bmm(weights[:, first_output:, :first_output], values)
    return activated(drive, [rows[:, first_output:] for rows in kinds])


def _tables(genomes: Sequence[Genome]) -> tuple[Tensor, list[Tensor]]:
    """Weights (B, to, from), and for each function where it is used (B, node); nodes: inputs, hidden, outputs."""
    C, most = genomes[0].outputs, max(len(genome.hidden) for genome in genomes)
    nodes = INPUTS + most + C
    entries: list[tuple[int, int, int, float]] = []
    used = torch.zeros(FUNCTIONS, len(genomes), nodes, dtype=torch.bool)
    uses: list[tuple[int, int, int]] = []
    for row, genome in enumerate(genomes):
        column = {node: node for node in range(INPUTS)}
        column |= {node: INPUTS + order for order, node in enumerate(genome.hidden)}
        column |= {INPUTS + output: INPUTS + most + output for output in range(C)}
        entries += [(row, column[end], column[start], weight) for (start, end), weight in genome.weights.items()]
        uses += [(kind, row, column[node]) for node, kind in genome.functions.items()]
    weights = torch.zeros(len(genomes), nodes, nodes)
    if entries:
        *index, values = zip(*entries, strict=True)
        weights[tuple(torch.tensor(column) for column in index)] = torch.tensor(values)
    used[tuple(torch.tensor(column) for column in zip(*uses, strict=True))] = True
    return weights, list(used)


def activated(drive: Tensor, used: Sequence[Tensor]) -> Tensor:
    """Sine, sigmoid, gaussian or linear, each into [-1, 1]; `used` says for each where it is, (B, n) against (B, n, P).

    sin(s);   2 / (1 + e^-s) - 1;   2 e^(-s^2) - 1;   clip(s / 3, -1, 1)
    """
    is_sine, is_sigmoid, is_gaussian, _ = (rows.unsqueeze(2) for rows in used)
    linear = (drive / 3).clamp(-1, 1)
    gaussian = (2 * (-drive.square()).exp() - 1).where(is_gaussian, linear)
    sigmoid = (drive / 2).tanh().where(is_sigmoid, gaussian)
    return drive.sin().where(is_sine, sigmoid)


def rgb(colours: Tensor) -> Tensor:
    """Hue, saturation and brightness (B, 3, P) in [0, 1] to red, green and blue."""
    hue, saturation, value = colours.unbind(dim=1)
    offsets = colours.new_tensor([5.0, 3.0, 1.0]).view(1, 3, 1)
    k = (offsets + 6 * hue.unsqueeze(1)) % 6
    dip = torch.minimum(k, 4 - k).clamp(0, 1)
    return value.unsqueeze(1) * (1 - saturation.unsqueeze(1) * dip)
