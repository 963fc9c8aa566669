"""What small networks compute, from their downloaded weights, in numpy: logits of pictures of any range."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Tensors = Mapping[str, np.ndarray]


def linear(tensors: Tensors, x: np.ndarray) -> np.ndarray:
    """Logits (N, K) of a softmax_regression for pictures (N, ...)."""
    return x.reshape(len(x), -1) @ tensors["1.weight"].T + tensors["1.bias"]


def maxout(tensors: Tensors, x: np.ndarray) -> np.ndarray:
    """Logits (N, K) of a maxout_mlp: two layers of units that are each the largest of five pieces, and a linear one."""
    pieces = tensors["1.linear.weight"].shape[0] // tensors["2.linear.weight"].shape[1]
    h = x.reshape(len(x), -1)
    for layer in ("1.linear", "2.linear"):
        candidates = h @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]
        h = candidates.reshape(len(x), -1, pieces).max(axis=2)
    logits: np.ndarray = h @ tensors["3.weight"].T + tensors["3.bias"]
    return logits


def gaussians(tensors: Tensors, x: np.ndarray) -> np.ndarray:
    """Logits (N, K) of an rbf_network: a linear layer on exp(-gamma_j |x - c_j|^2)."""
    flat, centers = x.reshape(len(x), -1), tensors["1.centers"]
    squares = (flat**2).sum(axis=1, keepdims=True) - 2 * flat @ centers.T + (centers**2).sum(axis=1)
    h = np.exp(-np.exp(tensors["1.log_gamma"]) * np.maximum(squares, 0))
    logits: np.ndarray = h @ tensors["2.weight"].T + tensors["2.bias"]
    return logits


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, K), in float64."""
    z = np.asarray(logits, dtype=np.float64)
    z = np.exp(z - z.max(axis=1, keepdims=True))
    shares: np.ndarray = z / z.sum(axis=1, keepdims=True)
    return shares
