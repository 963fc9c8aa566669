"""Classical models fitted by scikit-learn, and exported into modules that answer as scikit-learn does.

Every function takes x (N, C, H, W) in [0, 1], as torch or numpy array, and y (N,) with every class 0 .. K-1 among the
labels, and returns a `Classifier` in eval mode without normalisation. Figures depend on `seed` alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workers.failures import Rejected
from workers.models import small
from workers.models.classical.kernel import RbfSvm
from workers.models.classical.linear import linear_svm as hyperplanes
from workers.models.classical.neighbors import NearestNeighbors
from workers.models.classical.tree import DecisionTree
from workers.models.classifier import Classifier
from workers.models.signature import Signature

Array = Tensor | np.ndarray[Any, Any]


def softmax_regression(x: Array, y: Array, *, decay: float, steps: int = 1000) -> Classifier:
    """Minimise the mean cross-entropy plus decay / 2 |w|^2 by at most `steps` iterations of L-BFGS; `decay` > 0.

    scikit-learn calls 1 / (decay N) C.
    """
    from sklearn.linear_model import LogisticRegression

    shape, classes, pixels, labels = _samples(x, y)
    fitted = _fit(LogisticRegression(C=1 / (decay * len(labels)), max_iter=steps, tol=1e-5), pixels, labels)
    return _linear("softmax_regression", small.softmax_regression(shape, classes), shape, fitted)


def linear_svm(x: Array, y: Array, *, cost: float = 0.1, steps: int = 5000, seed: int = 0) -> Classifier:
    """One hyperplane per class against all others: min |w|^2 / 2 + cost * sum_i max(0, 1 - y_i (w.x_i + b)).

    As in scikit-learn's LinearSVC, the offset b is shrunk along with w. `steps` at most, in random order.
    """
    from sklearn.svm import LinearSVC

    shape, classes, pixels, labels = _samples(x, y)
    fitted = _fit(LinearSVC(loss="hinge", C=cost, max_iter=steps, random_state=seed), pixels, labels)
    return _linear("linear_svm", hyperplanes(shape, classes), shape, fitted)


def rbf_svm(x: Array, y: Array, *, cost: float = 5.0, gamma: float | None = None) -> Classifier:
    """One machine with the kernel exp(-gamma |x - s|^2) per class against all others; gamma None: 1 / (D var(x))."""
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import SVC

    shape, classes, pixels, labels = _samples(x, y)
    width = 1 / (pixels.shape[1] * float(pixels.var())) if gamma is None else gamma
    fitted = _fit(OneVsRestClassifier(SVC(kernel="rbf", C=cost, gamma=width)), pixels, labels)
    used = np.unique(np.concatenate([machine.support_ for machine in fitted.estimators_]))
    dual = np.zeros((len(fitted.estimators_), len(used)))
    for row, machine in zip(dual, fitted.estimators_, strict=True):
        row[np.searchsorted(used, machine.support_)] = machine.dual_coef_[0]
    bias = np.array([machine.intercept_[0] for machine in fitted.estimators_])
    network = RbfSvm(_float(pixels[used]), _float(_both(dual)), _float(_both(bias)), torch.tensor(width))
    return _classifier("rbf_svm", network, shape, classes)


def decision_tree(x: Array, y: Array, *, max_depth: int = 20, min_leaf: int = 1, seed: int = 0) -> Classifier:
    """Split by Gini impurity, at most `max_depth` decisions deep, at least `min_leaf` samples in a leaf."""
    from sklearn.tree import DecisionTreeClassifier

    shape, classes, pixels, labels = _samples(x, y)
    settings = {"max_depth": max_depth, "min_samples_leaf": min_leaf, "random_state": seed}
    tree = _fit(DecisionTreeClassifier(**settings), pixels, labels).tree_
    node = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    network = DecisionTree(
        feature=torch.from_numpy(np.where(leaf, 0, tree.feature).astype(np.int64)),
        # A float32 pixel is at most a threshold exactly where it is at most the largest float32 below it.
        threshold=torch.from_numpy(np.where(leaf, 0, _rounded_down(tree.threshold)).astype(np.float32)),
        left=torch.from_numpy(np.where(leaf, node, tree.children_left).astype(np.int64)),
        right=torch.from_numpy(np.where(leaf, node, tree.children_right).astype(np.int64)),
        distribution=_float(tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)),
    )
    return _classifier("decision_tree", network, shape, classes)


def nearest_neighbors(x: Array, y: Array, *, k: int = 5) -> Classifier:
    """Keep all samples as references; `k` of them vote."""
    shape, classes, pixels, labels = _samples(x, y)
    network = NearestNeighbors(torch.from_numpy(pixels), torch.from_numpy(labels), k, classes)
    return _classifier("nearest_neighbors", network, shape, classes)


def _samples(
    x: Array, y: Array
) -> tuple[tuple[int, int, int], int, np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return the shape of a picture, the number of classes, pixels (N, D) float32 and labels (N,) int64."""
    pictures, labels = torch.as_tensor(x), torch.as_tensor(y).long()
    if pictures.ndim != 4 or labels.shape != pictures.shape[:1]:
        raise Rejected("SHAPE_MISMATCH", f"needs x (N, C, H, W) and y (N,), got {pictures.shape} and {labels.shape}")
    counts = torch.bincount(labels)
    if len(counts) < 2 or bool((counts == 0).any()):
        raise Rejected("MISSING_CLASS", f"needs samples of two classes at least and of each one, got {counts.tolist()}")
    _, channels, height, width = pictures.shape
    return (channels, height, width), len(counts), pictures.float().flatten(1).cpu().numpy(), labels.cpu().numpy()


def _fit(estimator: Any, pixels: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Any:
    """Fit with as many threads as torch has: more than there are free cores wait for each other, 100 times as long."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(torch.get_num_threads()):
        return estimator.fit(pixels, labels)


def _linear(name: str, network: nn.Module, shape: tuple[int, int, int], fitted: Any) -> Classifier:
    """Take over a linear model's coefficients; of two classes, scikit-learn has the second one's only."""
    weight, bias = _float(_both(fitted.coef_)), _float(_both(fitted.intercept_))
    network.load_state_dict({"1.weight": weight, "1.bias": bias})
    return _classifier(name, network, shape, len(bias))


def _both(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the rows of both classes where there is one row, f, for two: -f / 2 and f / 2, whose difference is f."""
    return np.concatenate([-scores / 2, scores / 2]) if len(scores) == 1 else scores


def _classifier(name: str, network: nn.Module, shape: tuple[int, int, int], classes: int) -> Classifier:
    return Classifier(Signature(name, shape, classes), network, shape[1:]).eval()


def _rounded_down(thresholds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the largest float32 at or below each float64."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-math.inf)), near)


def _float(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
