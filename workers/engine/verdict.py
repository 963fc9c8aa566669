"""The fresh look at what a run found, by which alone it is judged."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from workers.engine.books import Books
from workers.engine.ledger import Ledger
from workers.engine.looking import look
from workers.goals import Model

# By how much a perturbation is drawn out where a fresh forward does not see what the last one saw at its end.
_DRAWN_OUT: Final = (1e-5, 1e-4, 1e-3, 1e-2)

# The lead that the first class needs there, as a part of the largest logit: float32 keeps seven digits, sums lose some.
_LEAD: Final = 1e-5


class Judged(NamedTuple):
    """What a run came to: a point of each sample, with the logits of a fresh forward of it."""

    points: Tensor  # (N, ...)
    logits: Tensor  # (N, K)
    score: Tensor  # (N,) as in `books`


def first(model: Model, books: Books, ledger: Ledger, last: Tensor | None) -> Judged:
    """Look at where each sample ended: at the goal, at the attack's last point (N, ...), or at a better one before.

    `last` is None where the attack was cut short, every sample being done.
    """
    turned, known, standard = books.turned, books.score, books.standard
    points = books.points if last is None else torch.where(_over(turned, last), books.points, last)
    logits = look(model, points)
    ledger.spend(None)
    score = standard.score(points, logits)
    regretted = (score < known) & ~turned
    if regretted.any():
        rows = regretted.nonzero().squeeze(1)
        points[rows] = books.points[rows]
        logits[rows] = look(model, points[rows])
        score = standard.score(points, logits)
        ledger.spend(rows)
    return Judged(points, logits, score)


def nearest(model: Model, books: Books, ledger: Ledger, last: Tensor | None) -> Judged:
    """Look at the nearest points; one so near the boundary that this forward or another may disagree is drawn out."""
    standard = books.standard
    if last is not None:
        books.enter(last, look(model, last), None)
        ledger.spend(None)
    points, turned = books.points.clone(), books.turned
    logits = look(model, points)
    ledger.spend(None)
    for factor in _DRAWN_OUT:
        rows = (turned & ~(standard.aim.reached(logits) & _clear(logits))).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        clean = standard.x[rows]
        points[rows] = (clean + (1 + factor) * (books.points[rows] - clean)).clamp_(0, 1)
        logits[rows] = look(model, points[rows])
        ledger.spend(rows)
    return Judged(points, logits, standard.score(points, logits))


def _clear(logits: Tensor) -> Tensor:
    """Return where the first class leads by more than another kernel's rounding could take away, (N,) bool."""
    first, second = logits.topk(2, dim=1).values.unbind(dim=1)
    return first - second > _LEAD * logits.abs().amax(dim=1)


def _over(mask: Tensor, like: Tensor) -> Tensor:
    """Shape (N,) so that it broadcasts over (N, ...)."""
    return mask.view(-1, *[1] * (like.ndim - 1))
