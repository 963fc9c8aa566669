"""Support vector machine without a kernel."""

from __future__ import annotations

import math

from torch import nn


def linear_svm(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Scores of one hyperplane per class: z_k = w_k . x + b_k, each fitted to tell its class from all others.

    The same function of x as softmax regression; what differs is the loss that it is fitted by (`fit.linear_svm`). The
    weights are not set yet: whoever calls loads them.
    """
    layer = nn.utils.skip_init(nn.Linear, math.prod(shape), classes)  # type: ignore[no-untyped-call]
    return nn.Sequential(nn.Flatten(), layer)
