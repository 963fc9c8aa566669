"""From one leaf of a decision tree to another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.failures import Rejected
from workers.goals import Goal, Model
from workers.models.classical import DecisionTree, Located, RandomForest, find
from workers.models.classical.tree import parents
from workers.threats import Ball

# Values that are compared at once: samples x leaves x decisions.
_AT_ONCE: Final = 2**22
# How often a sample walks through all trees of a forest: a walk through one may undo what was won in another.
_ROUNDS: Final = 3
# The bits of 1.0 as a float32; floats from 0 on are ordered as their bits are.
_ONE: Final = 0x3F800000


def tree_walk(model: Model, x: Tensor, goal: Goal, ball: Ball) -> Tensor:
    """Walk to the leaf that is fewest pixels away and answers otherwise, or answers the target.

        x' = argmin over leaves l of the goal of |{ i : x_i not in I_l,i }|,   x'_i = the nearest value of I_l,i

    I_l,i is the interval to which the decisions on the path from the root to leaf l confine pixel i; only pixels
    that the path asks about can be outside. Of equally few pixels, the shortest Euclidean change. A threshold is
    crossed by the next float32. In a forest a sample walks through one tree after another, all of them three times at
    most, until the forest's answer is that of the goal. `x` (N, ...) in [0, 1], `ball` is not used. Returns x',
    detached; x where no leaf will do. It asks a tree nothing, as it reads the tree itself, and a forest once after each
    tree. Raises Rejected: NOT_A_TREE.

    Source: arXiv:1605.07277, section 3 (decision trees).
    Differs from the paper in: all leaves are compared, so that the number of pixels is the smallest there is; the paper
    climbs from the sample's leaf until the subtree of a sibling has a leaf of another class. It has no forests.
    """
    del ball
    tree, forest = find(model, DecisionTree), find(model, RandomForest)
    if tree is not None:
        return _walk(tree, x, goal.label, targeted=goal.targeted)
    if forest is None:
        raise Rejected("NOT_A_TREE", "tree_walk attacks trees and forests only; use square or hop_skip_jump")
    xₙ, rows = x.clone(), (~goal.decide(model, x)).nonzero().squeeze(1)
    for member in forest.network.trees() * _ROUNDS:
        if len(rows) == 0:
            break
        walker = Located(member, forest.normalize)
        xₙ[rows] = _walk(walker, xₙ[rows], goal.label[rows], targeted=goal.targeted)
        rows = rows[~goal.decide(model, xₙ[rows], rows)]
    return xₙ


def _walk(found: Located[DecisionTree], x: Tensor, label: Tensor, *, targeted: bool) -> Tensor:
    """Return where the walk through one tree leads, (N, ...)."""
    cells = _cells(found, x)
    wanted = (cells.answer == label.unsqueeze(1)) == targeted  # (N, L)
    leaf, reachable = _nearest(x.flatten(1), cells, wanted & cells.possible)
    low = x.new_zeros(x.flatten(1).shape).scatter_reduce_(1, cells.feature[leaf], cells.low[leaf], "amax")
    high = torch.ones_like(low).scatter_reduce_(1, cells.feature[leaf], cells.high[leaf], "amin")
    return torch.where(reachable.unsqueeze(1), x.flatten(1).clamp(low, high), x.flatten(1)).view(x.shape)


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """The box of each of L leaves, by the P pixels at most that its path asks about; the rest is padding."""

    feature: Tensor  # (L, P) each pixel once; padding repeats a pixel with the interval [0, 1]
    low: Tensor  # (L, P) the least and the largest pixel in [0, 1] that get there
    high: Tensor  # (L, P)
    answer: Tensor  # (L,) the class
    possible: Tensor  # (L,) bool: there is such a picture


def _cells(found: Located[DecisionTree], x: Tensor) -> _Cells:
    """Follow every leaf's path up to the root, then merge the decisions about the same pixel."""
    tree, leaves = found.network, found.network.leaves
    parent, crossing = parents(tree.left, tree.right), _crossing(found, x)
    node, feature, low, high = leaves, [], [], []
    for _ in range(max(1, tree.depth)):
        above = parent[node]
        went_right, went_left = (node == tree.right[above]) & (node > 0), (node == tree.left[above]) & (node > 0)
        feature.append(tree.feature[above])
        low.append(torch.where(went_right, crossing[above], 0))
        high.append(torch.where(went_left, _before(crossing[above]), 1))
        node = above
    features, order = torch.stack(feature, dim=1).sort(dim=1, stable=True)
    run = torch.cat([torch.zeros_like(features[:, :1]), (features.diff(dim=1) != 0).cumsum(dim=1)], dim=1)
    lows = torch.stack(low, dim=1).gather(1, order)
    highs = torch.stack(high, dim=1).gather(1, order)
    lows = torch.zeros_like(lows).scatter_reduce_(1, run, lows, "amax")
    highs = torch.ones_like(highs).scatter_reduce_(1, run, highs, "amin")
    return _Cells(
        feature=torch.zeros_like(features).scatter_(1, run, features),
        low=lows,
        high=highs,
        answer=tree.distribution[leaves].argmax(dim=1),
        possible=(lows <= highs).all(dim=1),
    )


def _crossing(found: Located[DecisionTree], x: Tensor) -> Tensor:
    """Return the least pixel that goes right at each node, (M,); the float after 1 where none in [0, 1] does.

    Found by bisection over the bits of the pixel, seen through the model's own normalisation, so that it is exact
    whatever rounding there is.
    """
    tree, channels = found.network, x.shape[1] if x.ndim == 4 else 1
    channel = tree.feature // (math.prod(x.shape[1:]) // channels)

    def goes_right(bits: Tensor) -> Tensor:
        pixel = bits.view(torch.float32).view(-1, 1, 1, 1).expand(-1, channels, 1, 1)
        return found.normalize(pixel).flatten(1).gather(1, channel.unsqueeze(1)).squeeze(1) > tree.threshold

    return _least(goes_right, torch.zeros_like(tree.feature, dtype=torch.int32))


def _least(holds: Callable[[Tensor], Tensor], low: Tensor) -> Tensor:
    """Return the least float32 in [0, 1] where `holds`, once true, stays true; else the float after 1."""
    high = torch.full_like(low, _ONE + 1)
    for _ in range(31):
        middle = low + (high - low) // 2
        here = holds(middle)
        low, high = torch.where(here, low, (middle + 1).minimum(high)), torch.where(here, middle, high)
    return low.view(torch.float32)


def _before(value: Tensor) -> Tensor:
    """Return the float32 just below; below 0 for 0."""
    return torch.nextafter(value, torch.full_like(value, -1))


def _nearest(pixels: Tensor, cells: _Cells, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each sample the wanted leaf that is nearest, (N,), and whether there is one, (N,) bool."""
    best = pixels.new_full((len(pixels),), torch.inf, dtype=torch.float64)
    leaf = torch.zeros_like(best, dtype=torch.int64)
    many = max(1, _AT_ONCE // (max(1, len(pixels)) * cells.feature.shape[1]))
    for begin in range(0, len(cells.answer), many):
        part = slice(begin, begin + many)
        value = pixels[:, cells.feature[part]]  # (N, leaves, P)
        change = value.clamp(cells.low[part], cells.high[part]).sub_(value)
        # No change of P pixels is longer than the square root of P.
        far = (change != 0).sum(dim=2).double() * (2 * value.shape[2]) + change.double().square().sum(dim=2)
        distance, nearest = far.masked_fill(~wanted[:, part], torch.inf).min(dim=1)
        leaf = torch.where(distance < best, nearest + begin, leaf)
        best = best.minimum(distance)
    return leaf, best < torch.inf
