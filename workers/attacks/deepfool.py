"""DeepFool."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.losses import margin
from workers.threats import Ball, Linf
from workers.weighing import drawn_back, over

# How far a step aims beyond the boundary, as a part of the spread of the logits at x, which is taken to be 0.001 at
# least. Where the box cuts off a part of every step, the boundary only comes nearer, and would never be crossed.
_BEYOND: Final = 1e-3
_SPREAD: Final = 1e-3


def deepfool(
    model: Model, x: Tensor, goal: Goal, ball: Ball, *, steps: int, overshoot: float, candidates: int
) -> Tensor:
    """Steps to the nearest boundary of the classifier as it is linearised where one stands, until the class changes.

        f_k = z_k - z_y,   w_k = grad f_k,   l = argmin_k |f_k| / |w_k|_q        over the wrong classes k
        x_{n+1} = clip(x_n + (1 + overshoot) |f_l| / |w_l|_q steepest(w_l), 0, 1)

    steepest(w) is w / |w|_2 in L2, where q = 2, and sign(w) in L-infinity, where q = 1. The wrong classes are the
    `candidates` likeliest at x, 0 standing for all. `x` (N, ...) in [0, 1]; at most `steps` >= 1 steps; `overshoot`
    >= 0. Returns the last points, detached. A sample leaves once its class has changed, or where no gradient leads on.

    At the end a result is drawn back along the straight way to x, as far as it stays beyond the boundary: of the
    overshoot it keeps the little that crosses. On a linear classifier that is the optimum in closed form.

    Source: arXiv:1511.04599, algorithm 2, and section 3.3 for other norms.
    Differs from the paper in: points are clipped to the box; every step overshoots, as in the authors' code, and not
    the sum of them; the result is drawn back.
    """
    y, clean = goal.label, goal.logits(model, x)
    wrong = clean.scatter(1, y.unsqueeze(1), -torch.inf).argsort(dim=1, descending=True, stable=True)[:, :-1]
    rivals = wrong[:, :candidates] if candidates > 0 else wrong  # (N, M)
    points, rows, here = x, torch.arange(len(x), device=x.device), x
    lead, dual = margin(clean, y), 1 if isinstance(ball, Linf) else 2
    beyond = _BEYOND * (clean.amax(dim=1, keepdim=True) - clean.amin(dim=1, keepdim=True)).clamp_min(_SPREAD)
    for _ in range(steps):
        f, w = _leads(model, here, goal, rivals[rows], rows)
        gap = beyond[rows] - f  # (R, M)
        length, nearest = (gap / w.flatten(2).norm(dual, dim=2)).min(dim=1)
        each = torch.arange(len(rows), device=x.device)
        step = ball.steepest(w[each, nearest]).mul_(over(length.nan_to_num(posinf=0.0), x))
        here = here.add(step, alpha=1 + overshoot).clamp_(0, 1)
        logits = goal.logits(model, here, rows)
        points, lead = points.index_copy(0, rows, here), lead.index_copy(0, rows, margin(logits, y[rows]))
        left = ~goal.hit(logits, rows) & (length < torch.inf)
        rows, here = rows[left], here[left]
        if len(rows) == 0:
            break
    return drawn_back(model, x, goal, points, before=margin(clean, y), behind=lead)


def _leads(model: Model, x: Tensor, goal: Goal, rivals: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far each rival leads the label, (R, M), and the slopes of these differences, (R, M, ...).

    The differences are what is differentiated, which spares the backward for the label's own logit.
    """
    own = goal.label[rows].unsqueeze(1)

    def differences(x: Tensor) -> Tensor:
        logits = model(x)
        return logits - logits.gather(1, own)

    w, f = goal.jacobian(differences, x, rivals, rows)
    return f.gather(1, rivals), w
