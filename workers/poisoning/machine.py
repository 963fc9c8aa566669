"""A support vector machine of two classes with everything that its gradient needs: multipliers, offset, kernel.

    min_a  a' Q a / 2 - sum_i a_i   with 0 <= a_i <= C and sum_i y_i a_i = 0,   Q_ij = y_i y_j K(x_i, x_j)
    f(x) = sum_i y_i a_i K(x_i, x) + b

Solved by scikit-learn (libsvm), in float64. N samples of D values; y is -1 or 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workers.models import Classifier, Signature
from workers.models.classical import RbfSvm, linear_svm

# Up to so many samples all kernels between them are computed first, which is faster; 128 MB in float64.
ALL_AT_ONCE = 4000
# How exactly libsvm solves it; its own 1e-3 is too coarse for gradients.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Kernel:
    """K(a, b): a . b where gamma is None, else exp(-gamma |a - b|^2)."""

    gamma: float | None = None

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, D), (M, D) -> (N, M)."""
        if self.gamma is None:
            return a @ b.T
        squared = a.square().sum(1)[:, None] + b.square().sum(1)[None, :] - 2 * a @ b.T
        return (-self.gamma * squared.clamp(min=0)).exp()

    def slope(self, a: Tensor, b: Tensor) -> Tensor:
        """dK(a_i, b) / db for a (N, D) and one b (D,), (N, D)."""
        if self.gamma is None:
            return a
        return 2 * self.gamma * self(a, b[None]) * (a - b)

    def own_slope(self, b: Tensor) -> Tensor:
        """dK(b, b) / db, (D,)."""
        return 2 * b if self.gamma is None else torch.zeros_like(b)


@dataclass(frozen=True, kw_only=True, eq=False)
class Machine:
    """A fitted machine; tensors in float64."""

    kernel: Kernel
    cost: float
    x: Tensor  # (N, D), every sample that it was fitted to
    y: Tensor  # (N,)
    alpha: Tensor  # (N,) in [0, cost]
    bias: float

    def decide(self, x: Tensor) -> Tensor:
        """f(x) of (M, D), (M,)."""
        used = self.alpha > 0
        return self.kernel(x, self.x[used]) @ (self.alpha * self.y)[used] + self.bias

    @property
    def free(self) -> Tensor:
        """The samples on the margin, whose multipliers may move either way: 0 < a_i < C, (N,) bool."""
        slack = 1e-8 * self.cost
        return (self.alpha > slack) & (self.alpha < self.cost - slack)


def signs(y: Tensor) -> Tensor:
    """Labels 0 and 1 as -1 and 1 in float64."""
    return 2 * y.double() - 1


def fit_machine(kernel: Kernel, x: Tensor, y: Tensor, cost: float, *, tolerance: float = TOLERANCE) -> Machine:
    """Solve for samples x (N, D) float64 with y (N,) of -1 and 1, both of which have to occur; `cost` is C > 0."""
    from sklearn.svm import SVC
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if len(x) <= ALL_AT_ONCE:
        solver, given = SVC(kernel="precomputed", C=cost, tol=tolerance), kernel(x, x).numpy()
    elif kernel.gamma is None:
        solver, given = SVC(kernel="linear", C=cost, tol=tolerance), x.numpy()
    else:
        solver, given = SVC(kernel="rbf", gamma=kernel.gamma, C=cost, tol=tolerance), x.numpy()
    with threadpool_limits(torch.get_num_threads()):
        solver.fit(given, y.numpy())
    alpha = np.zeros(len(x))
    alpha[solver.support_] = np.abs(solver.dual_coef_[0])
    return Machine(kernel=kernel, cost=cost, x=x, y=y, alpha=torch.from_numpy(alpha), bias=float(solver.intercept_[0]))


def classifier(machine: Machine, shape: tuple[int, int, int]) -> Classifier:
    """The machine as a model with the scores -f / 2 and f / 2 of inputs (N, C, H, W), in float32."""
    used = machine.alpha > 0
    dual, support = (machine.alpha * machine.y)[used], machine.x[used]
    halves = torch.tensor([-0.5, 0.5], dtype=torch.float64)
    bias = (halves * machine.bias).float()
    assert support.shape[1] == math.prod(shape)
    if machine.kernel.gamma is None:
        network = linear_svm(shape, 2)
        network.load_state_dict({"1.weight": torch.outer(halves, dual @ support).float(), "1.bias": bias})
        return Classifier(Signature("linear_svm", shape, 2), network, shape[1:]).eval()
    fitted = RbfSvm(support.float(), torch.outer(halves, dual).float(), bias, torch.tensor(machine.kernel.gamma))
    return Classifier(Signature("rbf_svm", shape, 2), fitted, shape[1:]).eval()
