"""The Jacobian-based saliency map attack."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from workers.goals import Goal, Model
from workers.saliency import best_pair, best_pixel
from workers.threats import Ball


def jsma(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    theta: float,
    max_fraction: float,
    pairs: bool,
    use_logits: bool,
) -> Tensor:
    """Change the two pixels that speak most for the target and against all others, until the target wins.

        (p, q) = argmax -alpha beta   with   alpha = sum_{i in p,q} dF_t/dx_i > 0,
                                             beta = sum_{i in p,q} sum_{j != t} dF_j/dx_i < 0
        x_p, x_q <- clip(x + theta, 0, 1)

    With theta < 0 the signs of alpha and beta turn. Pixels that are 1 already (theta < 0: 0) can't be chosen. Without
    `pairs` one pixel is chosen at a time, by S(x, t)_i = dF_t/dx_i |sum_{j != t} dF_j/dx_i|. F are the logits, or with
    `use_logits` false the probabilities. t is the chosen class; without one it is, in each step, the likeliest other
    than the label.

    `x` (N, ...) in [0, 1], D values each; -1 <= `theta` <= 1, in units of pixels; 0 < `max_fraction` <= 1 is Upsilon:
    floor(Upsilon D / 2) pairs are changed at most, or floor(Upsilon D) pixels. A sample for which no pair has alpha
    > 0 > beta is given up, as is every sample whose probabilities are saturated, without logits. `ball` is not used.
    Returns the points (N, ...), detached. One forward and two backwards a step (probabilities: one), not K.

    Source: arXiv:1511.07528, algorithms 2 and 3, section 4; probabilities: arXiv:1511.04508, section 5.
    Differs from the paper in: the best of all pairs is found without comparing all of them (`workers.saliency`); there
    is an untargeted form.
    Measured (benchmarks/jsma.py; mnist10k, 100 sources to 9 classes each, MLP 784-200-200-10, Upsilon 14.5 %, pairs):
    theta 1: probabilities 100 % at 2.2 % of the pixels, logits 90 % at 4.5 %; theta -1: 99.9 % at 4.4 %, 50 % at 5.3 %.
    """
    del ball
    D, xₙ, rows = x[0].numel(), x.flatten(1).clone(), goal.alive
    sign, choose = (1 if theta > 0 else -1), (best_pair if pairs else best_pixel)
    most = math.floor(max_fraction * D + 1e-9)
    for _ in range(most // 2 if pairs else most):
        both = partial(_target_and_rest, model, goal, rows, use_logits=use_logits)
        J, z = goal.jacobian(both, xₙ[rows].view(-1, *x.shape[1:]), _columns(rows, 2 if use_logits else 1), rows)
        alpha = sign * J[:, 0].flatten(1)
        beta = -sign * J[:, 1].flatten(1) if use_logits else alpha  # probabilities: what one gains the others lose
        pixels, found = choose(alpha, beta, xₙ[rows] < 1 if theta > 0 else xₙ[rows] > 0)
        going_on = (found & ~goal.hit(z, rows)).nonzero().squeeze(1)
        rows, pixels = rows[going_on], pixels[going_on]
        if len(rows) == 0:
            break
        places = rows.unsqueeze(1), pixels
        xₙ[places] = (xₙ[places] + theta).clamp_(0, 1)
    return xₙ.view(x.shape)


def _target_and_rest(model: Model, goal: Goal, rows: Tensor, x: Tensor, *, use_logits: bool) -> Tensor:
    """Return the model's logits as they are, the first two of which have other gradients: those of F_t and of the rest.

    So one forward serves both, and what is looked at in passing are the true logits.
    """
    z = model(x)
    if not z.requires_grad:  # a look at any points, not at those of `rows`; or a model that has no slope
        return z
    outputs = z if use_logits else z.softmax(dim=1)
    t = _target(goal, z.detach(), rows)
    slopes = torch.cat([outputs.gather(1, t), outputs.scatter(1, t, 0).sum(dim=1, keepdim=True)], dim=1)
    slopes = F.pad(slopes, (0, z.shape[1] - 2))
    return z.detach() + (slopes - slopes.detach())


def _target(goal: Goal, z: Tensor, rows: Tensor) -> Tensor:
    """Return the class that is to win, (R, 1)."""
    if goal.towards is not None:
        return goal.towards[rows].unsqueeze(1)
    return z.scatter(1, goal.label[rows].unsqueeze(1), -torch.inf).argmax(dim=1, keepdim=True)


def _columns(rows: Tensor, count: int) -> Tensor:
    return torch.arange(count, device=rows.device).expand(len(rows), -1)
