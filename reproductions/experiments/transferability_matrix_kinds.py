"""The five kinds of classifiers of arXiv:1605.07277, as trainings on mnist10k, and noise of an attack's size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from reproductions.lab import Lab

# A net 784-200-200-10; softmax regression with a decay of 0.001, which is 1 / (cost * 8,000); a machine for each class.
FIVE: Final[Mapping[str, Mapping[str, Any]]] = {
    "DNN": {"architecture": "mlp", "optimization": {"epochs": 12, "batch_size": 100, "learning_rate": 2e-3}},
    "LR": {"architecture": "softmax_regression", "fitting": {"cost": 0.125}},
    "SVM": {"architecture": "linear_svm", "fitting": {"cost": 0.01}},
    "DT": {"architecture": "decision_tree", "fitting": {"max_depth": 20}},
    "kNN": {"architecture": "nearest_neighbors", "fitting": {"neighbors": 5}},
}


def learned(lab: Lab, names: Iterable[str]) -> dict[str, str]:
    """Train or fit models on the same 8,000 digits, by the names of their kinds."""
    chosen = list(names)
    jobs = [lab.training(name, **FIVE[name]) for name in chosen]
    return dict(zip(chosen, lab.models(*jobs), strict=True))


def noises(x: np.ndarray, epsilon: float, seed: int) -> dict[str, np.ndarray]:
    """Pictures x (N, C, H, W) with what no attack made: uniform in [-epsilon, epsilon], and -epsilon or epsilon."""
    drawn = np.random.default_rng(seed).uniform(-1, 1, x.shape)
    return {
        name: np.clip(x + epsilon * noise, 0, 1).astype(np.float32)
        for name, noise in (("uniform", drawn), ("signs", np.sign(drawn)))
    }
