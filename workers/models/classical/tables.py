"""A stranger's tensors turned into classical models, whose sizes stand in the tensors and not in the signature.

    linear_svm          1.weight (K, D), 1.bias (K,)
    rbf_svm             support (S, D), dual (K, S), bias (K,), gamma ()
    decision_tree       feature, threshold, left, right (M,), distribution (M, K)
    random_forest       the same, and roots (T,)
    nearest_neighbors   references (R, D), labels (R,), k ()

D values per picture and K classes are the signature's. Nothing here needs much more memory than the tensors
themselves; and every index is checked, as indices address memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from workers.failures import Rejected
from workers.models.classical.forest import RandomForest
from workers.models.classical.kernel import RbfSvm
from workers.models.classical.linear import linear_svm
from workers.models.classical.neighbors import NearestNeighbors
from workers.models.classical.tree import DecisionTree

_FLOAT, _INT = torch.float32, torch.int64
_NOTHING: Final[Mapping[str, tuple[torch.dtype, str]]] = {}

# The most support vectors, references, or nodes of one tree: what a batch needs grows with them.
MOST: Final = 2**17
# The most trees of a forest, and the most nodes of all of them: a batch meets one in each tree.
MOST_TREES: Final = 1000
MOST_FOREST_NODES: Final = 2**23
# The most neighbours that have a vote.
MOST_NEIGHBORS: Final = 1000
# Squares of larger coordinates, summed over a picture, come near the largest float.
_LARGEST: Final = 1e6

Shape = tuple[int, int, int]
Tensors = Mapping[str, Tensor]


def _linear_svm(shape: Shape, classes: int, tensors: Tensors) -> nn.Module:
    sizes = {"K": classes, "D": math.prod(shape)}
    _fit(tensors, {"1.weight": (_FLOAT, "KD"), "1.bias": (_FLOAT, "K")}, sizes)
    network = linear_svm(shape, classes)
    network.load_state_dict(dict(tensors), assign=True)
    return network


def _rbf_svm(shape: Shape, classes: int, tensors: Tensors) -> nn.Module:
    wanted = {"support": (_FLOAT, "SD"), "dual": (_FLOAT, "KS"), "bias": (_FLOAT, "K"), "gamma": (_FLOAT, "")}
    _fit(tensors, wanted, {"K": classes, "D": math.prod(shape)})
    _require(0 < float(tensors["gamma"]) <= _LARGEST, f"gamma must be above 0 and at most {_LARGEST:g}")
    _require(_small(tensors["support"]), f"support must be between -{_LARGEST:g} and {_LARGEST:g}")
    return RbfSvm(**tensors)


def _decision_tree(shape: Shape, classes: int, tensors: Tensors) -> nn.Module:
    _check_nodes(shape, classes, tensors, most={"M": MOST})
    count = len(tensors["left"])
    _check_children(tensors, torch.zeros(1, dtype=_INT), torch.full((count,), count))
    return DecisionTree(**tensors)


def _random_forest(shape: Shape, classes: int, tensors: Tensors) -> nn.Module:
    _check_nodes(shape, classes, tensors, {"roots": (_INT, "T")}, most={"M": MOST_FOREST_NODES, "T": MOST_TREES})
    roots, count = tensors["roots"], len(tensors["left"])
    _require(_within(roots, count), f"roots must be from 0 to {count - 1}")
    _require(int(roots[0]) == 0 and bool((roots.diff() > 0).all()), "roots must ascend from 0")
    ends = torch.cat([roots[1:], torch.tensor([count])])
    _check_children(tensors, roots, ends.repeat_interleave(ends - roots))
    return RandomForest(**tensors)


def _check_nodes(
    shape: Shape,
    classes: int,
    tensors: Tensors,
    more: Mapping[str, tuple[torch.dtype, str]] = _NOTHING,
    *,
    most: Mapping[str, int],
) -> None:
    """Check all of a tree's or a forest's nodes but where they lead."""
    wanted = dict.fromkeys(("feature", "left", "right"), (_INT, "M"))
    wanted |= {"threshold": (_FLOAT, "M"), "distribution": (_FLOAT, "MK"), **more}
    _fit(tensors, wanted, {"K": classes, "D": math.prod(shape)}, most=most)
    count = len(tensors["left"])
    for name, limit in (("feature", math.prod(shape)), ("left", count), ("right", count)):
        _require(_within(tensors[name], limit), f"{name} must be from 0 to {limit - 1}")
    low, high = tensors["distribution"].aminmax()
    _require(float(low) >= 0 and float(high) <= 1, "distribution must be from 0 to 1")


def _check_children(tensors: Tensors, roots: Tensor, ends: Tensor) -> None:
    """Check that every node is reached from one root in one way; `ends` (M,) is where the tree of each node ends."""
    left, right = tensors["left"], tensors["right"]
    node = torch.arange(len(left))
    inner = (left != node) | (right != node)
    children = torch.cat([left[inner], right[inner]])
    _require(
        bool((children > torch.cat([node[inner]] * 2)).all()), "left and right must be after their node: no cycles"
    )
    _require(bool((children < torch.cat([ends[inner]] * 2)).all()), "left and right must be in the tree of their node")
    once = torch.bincount(children, minlength=len(left))
    once[roots] += 1
    _require(bool((once == 1).all()), "every node but a root must be the child of exactly one other")


def _nearest_neighbors(shape: Shape, classes: int, tensors: Tensors) -> nn.Module:
    wanted = {"references": (_FLOAT, "RD"), "labels": (_INT, "R"), "k": (_INT, "")}
    _fit(tensors, wanted, {"K": classes, "D": math.prod(shape)})
    labels, k = tensors["labels"], int(tensors["k"])
    _require(_within(labels, classes), f"labels must be from 0 to {classes - 1}")
    _require(bool((labels.diff() >= 0).all()), "labels must ascend; sort the references by their labels")
    _require(1 <= k <= min(len(labels), MOST_NEIGHBORS), f"k must be from 1 to {min(len(labels), MOST_NEIGHBORS)}")
    _require(_small(tensors["references"]), f"references must be between -{_LARGEST:g} and {_LARGEST:g}")
    return NearestNeighbors(tensors["references"], labels, k, classes)


# How a network is made of a stranger's tensors: (input shape, classes, tensors) -> network. Raises Rejected:
# MODEL_DOES_NOT_FIT, NOT_FINITE.
FITTED: Final[dict[str, Callable[[Shape, int, Tensors], nn.Module]]] = {
    "decision_tree": _decision_tree,
    "linear_svm": _linear_svm,
    "nearest_neighbors": _nearest_neighbors,
    "random_forest": _random_forest,
    "rbf_svm": _rbf_svm,
}


def _fit(
    tensors: Tensors,
    wanted: Mapping[str, tuple[torch.dtype, str]],
    sizes: dict[str, int],
    *,
    most: Mapping[str, int] | None = None,
) -> None:
    """Check names, types, shapes and finiteness; a letter of a shape means the same size wherever it stands.

    `most` is the largest size of a letter, where it is not `MOST`.
    """
    _require(tensors.keys() == wanted.keys(), f"needs the tensors {sorted(wanted)}, got {sorted(tensors)[:10]}")
    for name, (dtype, letters) in wanted.items():
        tensor = tensors[name]
        _require(tensor.dtype == dtype, f"{name} must be {dtype}, not {tensor.dtype}")
        _require(tensor.ndim == len(letters), f"{name} must have {len(letters)} dimensions, not {tensor.ndim}")
        for letter, size in zip(letters, tensor.shape, strict=True):
            known = sizes.setdefault(letter, size)
            _require(size == known, f"{name} is {list(tensor.shape)}; {letter} of {'x'.join(letters)} must be {known}")
            limit = MOST if most is None else most.get(letter, MOST)
            _require(letter in "KD" or 1 <= size <= limit, f"{name} is {list(tensor.shape)}; {letter} is 1 to {limit}")
        if dtype == _FLOAT and not bool(torch.isfinite(tensor).all()):
            raise Rejected("NOT_FINITE", f"{name} holds values that are not finite numbers")


def _require(good: bool, message: str) -> None:  # noqa: FBT001 reads as an assertion
    if not good:
        raise Rejected("MODEL_DOES_NOT_FIT", f"the weights do not fit: {message}")


def _within(indices: Tensor, limit: int) -> bool:
    low, high = indices.aminmax()
    return int(low) >= 0 and int(high) < limit


def _small(tensor: Tensor) -> bool:
    return float(tensor.abs().amax()) <= _LARGEST
