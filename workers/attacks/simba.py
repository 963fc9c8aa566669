"""The simple black-box attack."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from workers.goals import Goal, Model
from workers.probing import log_odds, of
from workers.threats import Ball, Generators, draw

# Cosines are tried in so many rings, from the lowest frequencies out.
_RINGS: Final = 8


def simba(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    queries: int,
    step: float,
    basis: str,
    generator: Generators,
) -> Tensor:
    """One direction after the other: a step forward, or else one backward, is kept where it raises the objective.

        for q in a random order of the orthonormal basis Q, for a in (step, -step), until one is kept:
            x_{n+1} = clip(x_n + a q, 0, 1)   where   p(y | x_{n+1}) < p(y | x_n)   (target: p(t | .) rises)

    Q are the single values of a sample (`basis` "pixel"), or the cosines of the last two axes of each channel, of the
    last one where a sample has no other ("dct"). Cosines come in rings of a rising frequency, an eighth of each axis
    wide, at random within a ring. When all D directions have been tried, they are begun anew in another order.

    `x` (N, ...) in [0, 1]; `queries` >= 1 bounds the forwards of a sample: one for p(y | x) and one or two a direction;
    a step that the box undoes whole is not asked about. `step` > 0 in Euclidean length; `ball` is not used. Returns the
    last points, detached. T steps that the box leaves alone, in one round, come to |x_T - x|_2 <= step sqrt(T).

    Source: arXiv:1905.07121, algorithm 1 and section 3 (SimBA, SimBA-DCT).
    Differs from the paper in: it compares log(p / (1 - p)), which is the same order without its underflow; the paper
    confines the cosines to the lowest eighth, and ends when all directions are used up.
    Measured (benchmarks/queries.py; 50 digits, step 0.2): all broken, at a median distance of 2.39 after 314 queries on
    average (pixel), 1.66 after 501 (dct).
    """
    del ball
    xₙ, rows, D = x.clone(), goal.alive, x[0].numel()
    J = log_odds(goal, goal.logits(model, x), rows)
    left, done = torch.full_like(goal.label, queries - 1), torch.zeros_like(goal.label, dtype=torch.bool)
    order = torch.zeros(len(x), D, dtype=torch.int64, device=x.device)
    for n in range(queries):
        rows = rows[~done[rows] & (left[rows] > 0)]
        if len(rows) == 0:
            break
        if n % D == 0:
            order[rows] = _shuffled(basis, x[rows], of(generator, rows))
        at, q = rows, _direction(basis, order[rows, n % D], x[0])
        for a in (step, -step):
            tried = (xₙ[at] + a * q).clamp_(0, 1)
            moved = ((tried != xₙ[at]).flatten(1).any(dim=1) & (left[at] > 0)).nonzero().squeeze(1)
            if len(moved) == 0:
                continue
            asked, tried = at[moved], tried[moved]
            z = goal.logits(model, tried, asked)
            objective, done[asked] = log_odds(goal, z, asked), goal.hit(z, asked)
            left[asked] -= 1
            kept = (objective > J[asked]) | done[asked]
            xₙ[asked[kept]], J[asked[kept]] = tried[kept], objective[kept]
            backward = torch.ones_like(at, dtype=torch.bool).index_fill_(0, moved[kept], value=False)
            at, q = at[backward], q[backward]
    return xₙ


def _shuffled(basis: str, x: Tensor, generator: Generators) -> Tensor:
    """Return all directions in an order of each sample's own, (R, D) int64."""
    key = draw(torch.rand, x, generator).flatten(1)
    if basis == "dct":
        _, H, W = _axes(x[0])
        u, v = torch.arange(H, device=x.device), torch.arange(W, device=x.device)
        ring = torch.maximum((u * _RINGS // H).unsqueeze(1), v * _RINGS // W).flatten()  # (H W,)
        key = key.add_(ring.repeat(key.shape[1] // len(ring)))
    return key.argsort(dim=1, stable=True)


def _direction(basis: str, index: Tensor, sample: Tensor) -> Tensor:
    """Return the unit vectors of these numbers (R,), each in the shape of a sample: (R, ...)."""
    if basis == "pixel":
        return F.one_hot(index, sample.numel()).to(sample.dtype).view(-1, *sample.shape)
    C, H, W = _axes(sample)
    channel = F.one_hot(index // (H * W), C).to(sample.dtype).view(-1, C, 1, 1)
    down, across = _cosines(H, sample)[index // W % H], _cosines(W, sample)[index % W]
    q = channel * down.view(-1, 1, H, 1) * across.view(-1, 1, 1, W)
    return q.view(-1, *sample.shape)


def _axes(sample: Tensor) -> tuple[int, int, int]:
    """Return how many channels there are, and the length of the two axes of each."""
    H, W = (1, *sample.shape)[-2:]
    return sample.numel() // (H * W), H, W


def _cosines(n: int, like: Tensor) -> Tensor:
    """Return the orthonormal cosines of n places, (n, n), by frequency: the rows of the DCT-II."""
    place = torch.arange(n, dtype=torch.float64, device=like.device)
    rows: Tensor = math.sqrt(2 / n) * torch.cos(math.pi / n * (place + 0.5) * place.unsqueeze(1))
    rows[0] /= math.sqrt(2)
    return rows.to(like.dtype)
