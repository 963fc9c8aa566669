"""How large the gradient of a softmax is where it is far too small for any floating-point number."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from reproductions.experiments.distillation_temperature_nets import LAYERS

_AT_ONCE = 250


def amplitudes(tensors: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Compute log10 of the mean over classes k and pixels j of |dF_k / dx_j|, F = softmax(z); (N,), -inf for 0.

    With J_k = dz_k / dx, the gradient of class k's probability is

        dF_k / dx = F_k (J_k - sum_l F_l J_l) = sum_{l != k} F_k F_l (J_k - J_l)

    In the first form the bracket is a difference of nearly equal numbers where F_k is nearly 1. In the second every
    term has a factor F_k F_l, which is kept as a logarithm; the largest factor of each k is taken out of its sum:

        log|dF_k / dx| = log F_k + m_k + log|sum_{l != k} exp(log F_l - m_k) (J_k - J_l)|,  m_k = max_{l != k} log F_l

    and the mean over k is made of logarithms again (log-sum-exp). So nothing underflows, whatever the logits are.

    `tensors`: those of a `dropout_mlp`, whose dropout is off. `x` (N, 1, 28, 28) in [0, 1]. Computed in float64.
    """
    parts = [x[begin : begin + _AT_ONCE] for begin in range(0, len(x), _AT_ONCE)]
    return np.concatenate([_of_batch(*slopes(tensors, part)) for part in parts])


def slopes(tensors: Mapping[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the logits (N, K) of a rectified net, and their gradients J (N, K, D)."""
    weights = [tensors[f"{layer}.weight"].astype(np.float64) for layer in LAYERS]
    biases = [tensors[f"{layer}.bias"].astype(np.float64) for layer in LAYERS]
    h, passed = x.reshape(len(x), -1).astype(np.float64), []
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        a = h @ W.T + b
        passed.append(a > 0)
        h = np.maximum(a, 0)
    J = np.broadcast_to(weights[-1], (len(x), *weights[-1].shape))
    for W, on in zip(reversed(weights[:-1]), reversed(passed), strict=True):
        J = (J * on[:, None, :]) @ W
    return h @ weights[-1].T + biases[-1], J


def _of_batch(z: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    J, K = jacobian, z.shape[1]
    log_F = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    others = np.where(np.eye(K, dtype=bool), -np.inf, log_F[:, None, :])  # (N, k, l)
    largest = others.max(axis=2)
    factors = np.exp(others - largest[:, :, None])
    sums = factors.sum(axis=2)[:, :, None] * J - factors @ J  # (N, k, D)
    with np.errstate(divide="ignore"):  # the logarithm of 0 is meant
        log_each = log_F + largest + np.log(np.abs(sums).mean(axis=2))
    mean: np.ndarray = np.logaddexp.reduce(log_each, axis=1) - math.log(K)
    return mean / math.log(10)
