"""Which pixels to change, by how they move two sums of outputs: the exact best pair, without comparing all of them.

Legend: alpha (R, D) what the target gains where a pixel is changed, beta (R, D) what all others lose, allowed (R, D)
bool; D pixels of each of R samples. A choice is worth the product of its gains where both are above 0, else nothing.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

# Pairs that are compared at once, of all samples together.
_AT_ONCE: Final = 2**22


def best_pixel(alpha: Tensor, beta: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return argmax_i alpha_i beta_i as (R, 1) int64, and where there is one that is worth anything, (R,) bool."""
    worth = _worth(alpha.double(), beta.double()).masked_fill(~allowed, 0)
    largest, pixel = worth.max(dim=1, keepdim=True)
    return pixel, largest.squeeze(1) > 0


def best_pair(alpha: Tensor, beta: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return argmax_{p, q} (alpha_p + alpha_q) (beta_p + beta_q) as (R, 2) int64, and where there is one, (R,) bool.

    Exact, though far from all D^2 pairs are compared: a pixel that two others surpass, or equal, in alpha and in beta
    is in no pair that could not do without it, since one of the two can take its place. What is left is a front of a
    few pixels, some 2 log D where alpha and beta are independent. Where they are opposed it may be all of them; the
    pairs are compared in portions, so that memory stays bounded.
    """
    a, order = alpha.double().masked_fill(~allowed, -torch.inf).sort(dim=1, descending=True, stable=True)
    b = beta.double().masked_fill(~allowed, -torch.inf).gather(1, order)
    front = b > _second_largest_before(b)
    longest = max(2, int(front.sum(dim=1).amax()))
    place = (~front).to(torch.int8).argsort(dim=1, stable=True)[:, :longest]  # the front, then whatever comes
    width = place.shape[1]
    behind = ~front.gather(1, place)
    a, b = (v.gather(1, place).masked_fill(behind, -torch.inf) for v in (a, b))
    largest = torch.zeros_like(a[:, 0])
    pair = place.new_zeros(len(a), 2)
    portion = max(1, _AT_ONCE // (len(a) * width))
    later = torch.arange(width, device=a.device)
    for begin in range(0, width, portion):
        first = slice(begin, begin + portion)
        worth = _worth(a[:, first, None] + a[:, None], b[:, first, None] + b[:, None])  # (R, portion, width)
        worth = worth.masked_fill(later[first, None] >= later, 0)  # each pair once, and no pixel with itself
        most, which = worth.flatten(1).max(dim=1)
        found = torch.stack([begin + which // width, which % width], dim=1)
        pair = torch.where((most > largest).unsqueeze(1), found, pair)
        largest = largest.maximum(most)
    return order.gather(1, place.gather(1, pair)), largest > 0


def _worth(gain: Tensor, loss: Tensor) -> Tensor:
    """Return the product where both are above 0, else 0; of float64, as gradients of 1e-40 are common here."""
    return torch.where((gain > 0) & (loss > 0), gain * loss, 0)


def _second_largest_before(b: Tensor) -> Tensor:
    """Return for each place the second largest value of the places before it, minus infinity where there is none."""
    none = b.new_full((len(b), 1), -torch.inf)
    largest = torch.cat([none, b.cummax(dim=1).values[:, :-1]], dim=1)
    second = b.minimum(largest).cummax(dim=1).values
    return torch.cat([none, second[:, :-1]], dim=1)
