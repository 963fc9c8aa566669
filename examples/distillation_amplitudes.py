"""How large the gradient of a softmax is where it is far too small for any floating-point number."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from workers.goals import jacobian
from workers.models import Classifier

# Upper edges of the bins of the histogram but the last, which ends at 1, as powers of ten.
BINS = (-300.0, -100.0, -40.0, -30.0, -20.0, -10.0, -5.0, -3.0)
_AT_ONCE = 250


def amplitudes(net: Classifier, x: Tensor) -> Tensor:
    """log10 of the mean over classes k and pixels j of |dF_k / dx_j|, F = softmax(z); (N,) float64, -inf for 0.

    With J_k = dz_k / dx:   dF_k / dx = sum_{l != k} F_k F_l (J_k - J_l)

    The products F_k F_l are kept as logarithms, the largest of each k is taken out of its sum, and the sum over k is
    made of logarithms again. So nothing underflows, and no difference of nearly equal numbers is taken.
    """
    exact = copy.deepcopy(net).double()
    return torch.cat([_of_batch(exact, batch) for batch in x.double().split(_AT_ONCE)])


def _of_batch(net: Classifier, x: Tensor) -> Tensor:
    J, z = jacobian(net, x)  # (N, K, C, H, W), (N, K)
    J, log_F = J.flatten(2), z.log_softmax(dim=1)
    diagonal = torch.eye(z.shape[1], dtype=torch.bool)
    others = log_F.unsqueeze(1).expand(-1, z.shape[1], -1).masked_fill(diagonal, -torch.inf)  # (N, k, l)
    largest = others.amax(dim=2)
    weights = (others - largest.unsqueeze(2)).exp()
    slopes = weights.sum(dim=2, keepdim=True) * J - weights @ J  # (N, k, D)
    log_each = log_F + largest + slopes.abs().mean(dim=2).log()
    return (log_each.logsumexp(dim=1) - math.log(z.shape[1])) / math.log(10)
