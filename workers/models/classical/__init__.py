"""Classifiers that are no neural nets, as modules that give scores (N, K) for x (N, C, H, W) in [0, 1].

    linear_svm           one hyperplane per class                       scores linear in x
    rbf_svm              a sum of Gaussians per class                   scores smooth in x
    decision_tree        one pixel against one threshold at a time      log-probabilities, no gradient
    random_forest        the mean of many trees                         log-probabilities, no gradient
    nearest_neighbors    a vote of the k nearest references             log-shares of the votes, no gradient

Logistic regression is `softmax_regression` of `workers.models.small`. `fit` has what makes each of them from samples;
`FITTED` makes each of them from a stranger's tensors, whose sizes are read from the tensors themselves and checked;
`find` tells an attack on trees or neighbours what is inside the model that it was handed.
"""

from __future__ import annotations

from workers.models.classical.find import Located, find
from workers.models.classical.forest import RandomForest
from workers.models.classical.kernel import RbfSvm
from workers.models.classical.linear import linear_svm
from workers.models.classical.neighbors import NearestNeighbors
from workers.models.classical.tables import FITTED
from workers.models.classical.tree import DecisionTree

__all__ = ["FITTED", "DecisionTree", "Located", "NearestNeighbors", "RandomForest", "RbfSvm", "find", "linear_svm"]
