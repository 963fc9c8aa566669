"""Linear models fitted to their own worst case, which has a closed form."""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

# Steps of the search, and the length of the first one in units of the weights.
_STEPS: Final = 600
_RATE: Final = 0.02


def fit_worst_case(
    x: Tensor, sign: Tensor, reach: Tensor, *, loss: Literal["logistic", "hinge"], cost: float
) -> tuple[Tensor, Tensor]:
    """Return the weights (K, D) and offsets (K,) of K machines that minimise the loss of the worst x' within reach.

        min_{w, b}  |w|^2 / 2 + cost * sum_i L(s_i (w.x_i + b) - sum_j reach_j |w_j|)
        L(m) = log(1 + exp(-m)) (logistic)   or   max(0, 1 - m) (hinge)

    Where every value may move by epsilon, the sum is epsilon |w|_1: moving each against the sign of its weight costs so
    much margin, and no move costs more. `x` (N, D); `sign` (N, K) is 1 where a sample is of the machine's class, else
    -1; `reach` (D,) at least 0; `cost` > 0. Machines do not know of each other. Deterministic: gradient steps of Adam
    on all samples at once, from 0, which get shorter to 0 by a cosine.

    Source: arXiv:1412.6572, section 5 (logistic); the hinge likewise, as in support vector machines of intervals.
    Differs from the paper in: its formula prints the same direction for both classes; this is the worst one of each.
    The box [0, 1] is not used, so a clipped attack does less than is guarded against.
    """
    weight = torch.zeros(sign.shape[1], x.shape[1], requires_grad=True)
    offset = torch.zeros(sign.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([weight, offset], lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        margin = sign * (x @ weight.T + offset) - weight.abs() @ reach
        losses = F.softplus(-margin) if loss == "logistic" else (1 - margin).clamp_min(0)
        # By the sample, so that the step does not depend on how many there are.
        total = losses.mean(dim=0).sum() + weight.square().sum() / (2 * cost * len(x))
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return weight.detach(), offset.detach()
