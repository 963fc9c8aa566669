"""Classical models fitted by scikit-learn, and exported into modules that answer as scikit-learn does.

Every function takes x (N, C, H, W) in [0, 1], as torch or numpy array, and y (N,) with every class 0 .. K-1 among the
labels, and returns a `Classifier` in eval mode without normalisation. Figures depend on `seed` alone.

The work is done in pieces that cannot be interrupted, one after another, each by `work(piece)`: by default at once; the
engine passes what ticks meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from workers.failures import Rejected
from workers.models.classical.forest import RandomForest
from workers.models.classical.kernel import RbfSvm
from workers.models.classical.linear import linear_svm as hyperplanes
from workers.models.classical.neighbors import NearestNeighbors
from workers.models.classical.robust import fit_worst_case
from workers.models.classical.tree import DecisionTree
from workers.models.classifier import Classifier
from workers.models.signature import Signature

Array = Tensor | np.ndarray[Any, Any]
Work = Callable[[Callable[[], Any]], Any]

# Values that one fit of a linear machine looks at: some two seconds.
_MOST_LOOKS: Final = 10**9


def _at_once(piece: Callable[[], Any]) -> Any:
    return piece()


def softmax_regression(x: Array, y: Array, *, decay: float, steps: int = 1000, work: Work = _at_once) -> Classifier:
    """Minimise the mean cross-entropy plus decay / 2 |w|^2 by at most `steps` iterations of L-BFGS; `decay` > 0.

    scikit-learn calls 1 / (decay N) C.
    """
    from sklearn.linear_model import LogisticRegression

    shape, _, pixels, labels = _samples(x, y)
    estimator = LogisticRegression(C=1 / (decay * len(labels)), max_iter=steps, tol=1e-5)
    fitted = _fit(estimator, pixels, labels, work)
    return _linear("softmax_regression", shape, fitted.coef_, fitted.intercept_)


def linear_svm(
    x: Array, y: Array, *, cost: float = 0.1, steps: int = 5000, seed: int = 0, work: Work = _at_once
) -> Classifier:
    """One hyperplane per class against all others: min |w|^2 / 2 + cost * sum_i max(0, 1 - y_i (w.x_i + b)).

    As in scikit-learn's LinearSVC, the offset b is shrunk along with w. `steps` rounds at most over all samples in
    random order, and fewer where all rounds together would look at more than 10^9 values that are not 0: the solver
    holds the interpreter's lock all the while.
    """
    from sklearn.svm import LinearSVC

    shape, classes, pixels, labels = _samples(x, y)
    rounds = max(1, min(steps, _MOST_LOOKS // max(1, int(np.count_nonzero(pixels)))))
    settings = {"loss": "hinge", "C": cost, "max_iter": rounds, "random_state": seed}
    machines = [_fit(LinearSVC(**settings), pixels, labels == k, work) for k in _own(classes)]
    weight, bias = (np.concatenate([getattr(one, name) for one in machines]) for name in ("coef_", "intercept_"))
    return _linear("linear_svm", shape, weight, bias)


def worst_case(name: str, x: Array, y: Array, *, reach: Tensor, cost: float, work: Work = _at_once) -> Classifier:
    """Fit a linear_svm, or a softmax_regression of two classes, to the worst that a move within `reach` (D,) can do."""
    shape, classes, pixels, labels = _samples(x, y)
    if name != "linear_svm" and (name != "softmax_regression" or classes > 2):
        raise Rejected("NO_CLOSED_FORM", "closed_form is for a linear_svm, or a softmax_regression of two classes")
    sign = torch.where(torch.from_numpy(labels).unsqueeze(1) == torch.tensor(_own(classes)), 1.0, -1.0)
    loss: Literal["logistic", "hinge"] = "hinge" if name == "linear_svm" else "logistic"
    weight, bias = work(lambda: fit_worst_case(torch.from_numpy(pixels), sign, reach, loss=loss, cost=cost))
    return _linear(name, shape, weight.numpy(), bias.numpy())


def rbf_svm(x: Array, y: Array, *, cost: float = 5.0, gamma: float | None = None, work: Work = _at_once) -> Classifier:
    """One machine with the kernel exp(-gamma |x - s|^2) per class against all others; gamma None: 1 / (D var(x))."""
    from sklearn.svm import SVC

    shape, classes, pixels, labels = _samples(x, y)
    width = 1 / (pixels.shape[1] * float(pixels.var())) if gamma is None else gamma
    machines = [_fit(SVC(kernel="rbf", C=cost, gamma=width), pixels, labels == k, work) for k in _own(classes)]
    used = np.unique(np.concatenate([machine.support_ for machine in machines]))
    dual = np.zeros((len(machines), len(used)))
    for row, machine in zip(dual, machines, strict=True):
        row[np.searchsorted(used, machine.support_)] = machine.dual_coef_[0]
    bias = np.array([machine.intercept_[0] for machine in machines])
    network = RbfSvm(_float(pixels[used]), _float(_both(dual)), _float(_both(bias)), torch.tensor(width))
    return _classifier("rbf_svm", network, shape, classes)


def decision_tree(
    x: Array, y: Array, *, max_depth: int = 20, min_leaf: int = 1, seed: int = 0, work: Work = _at_once
) -> Classifier:
    """Split by Gini impurity, at most `max_depth` decisions deep, at least `min_leaf` samples in a leaf."""
    from sklearn.tree import DecisionTreeClassifier

    shape, classes, pixels, labels = _samples(x, y)
    settings = {"max_depth": max_depth, "min_samples_leaf": min_leaf, "random_state": seed}
    fitted = _fit(DecisionTreeClassifier(**settings), pixels, labels, work)
    return _classifier("decision_tree", DecisionTree(**_nodes(fitted.tree_)), shape, classes)


def random_forest(
    x: Array,
    y: Array,
    *,
    trees: int = 100,
    max_depth: int = 20,
    min_leaf: int = 1,
    seed: int = 0,
    work: Work = _at_once,
) -> Classifier:
    """Fit each tree to as many samples, drawn with replacement; each decision looks at sqrt(D) pixels drawn anew."""
    from sklearn.ensemble import RandomForestClassifier

    shape, classes, pixels, labels = _samples(x, y)
    settings = {"max_depth": max_depth, "min_samples_leaf": min_leaf, "random_state": seed}
    forest = RandomForestClassifier(0, warm_start=True, **settings)
    for count in range(1, trees + 1):
        # With a warm start the trees that are there stay, and one is added: the same as all at once.
        forest = _fit(forest.set_params(n_estimators=count), pixels, labels, work)
    arrays = [_nodes(tree.tree_) for tree in forest.estimators_]
    begins = np.cumsum([0, *(len(nodes["left"]) for nodes in arrays)])[:-1]
    for nodes, begin in zip(arrays, begins.tolist(), strict=True):
        nodes["left"] += begin
        nodes["right"] += begin
    joined = {name: torch.cat([nodes[name] for nodes in arrays]) for name in arrays[0]}
    return _classifier("random_forest", RandomForest(**joined, roots=torch.from_numpy(begins)), shape, classes)


def _nodes(tree: Any) -> dict[str, Tensor]:
    """Return the tensors of a `DecisionTree` from the arrays of scikit-learn's."""
    node = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    return {
        "feature": torch.from_numpy(np.where(leaf, 0, tree.feature).astype(np.int64)),
        # A float32 pixel is at most a threshold exactly where it is at most the largest float32 below it.
        "threshold": torch.from_numpy(np.where(leaf, 0, _rounded_down(tree.threshold)).astype(np.float32)),
        "left": torch.from_numpy(np.where(leaf, node, tree.children_left).astype(np.int64)),
        "right": torch.from_numpy(np.where(leaf, node, tree.children_right).astype(np.int64)),
        "distribution": _float(tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)),
    }


def nearest_neighbors(x: Array, y: Array, *, k: int = 5) -> Classifier:
    """Keep all samples as references; `k` of them vote."""
    shape, classes, pixels, labels = _samples(x, y)
    if k > len(labels):
        raise Rejected("TOO_FEW_SAMPLES", f"{k} neighbours are to vote, but there are {len(labels)} samples")
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


def _own(classes: int) -> list[int]:
    """The classes that have a machine against the rest; of two classes one machine is enough."""
    return list(range(classes)) if classes > 2 else [1]


def _fit(estimator: Any, pixels: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], work: Work) -> Any:
    """Fit with as many threads as torch has: more than there are free cores wait for each other, 100 times as long."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    threads = torch.get_num_threads()

    def piece() -> Any:
        with threadpool_limits(threads):
            return estimator.fit(pixels, labels)

    return work(piece)


def _linear(
    name: str, shape: tuple[int, int, int], weight: np.ndarray[Any, Any], bias: np.ndarray[Any, Any]
) -> Classifier:
    """Return the linear model with these rows, (K, D) and (K,); of two classes, the second one's only."""
    weights, offsets = _float(_both(weight)), _float(_both(bias))
    # Softmax regression has the same layers.
    network = hyperplanes(shape, len(offsets))
    network.load_state_dict({"1.weight": weights, "1.bias": offsets})
    return _classifier(name, network, shape, len(offsets))


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
