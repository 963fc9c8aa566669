"""Classifiers that are no neural nets: they answer as scikit-learn does, and a stranger's tensors are checked."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch

from workers.data import builtin
from workers.failures import Rejected
from workers.models import Signature, build, load, save
from workers.models.classical import FITTED, DecisionTree, NearestNeighbors, RbfSvm, find, fit
from workers.models.classical.distances import squared_distances
from workers.models.classifier import Classifier


@pytest.fixture(scope="module")
def digits():
    """Training digits (1500, 1, 8, 8), their labels, and the test digits (297, 1, 8, 8)."""
    train, test = builtin("digits", "train"), builtin("digits", "test")
    return train.x, train.y, test.x


@pytest.fixture(scope="module")
def fitted(digits):
    """A model of each kind, by name."""
    x, y, _ = digits
    return {
        "decision_tree": fit.decision_tree(x, y, max_depth=12),
        "linear_svm": fit.linear_svm(x, y),
        "nearest_neighbors": fit.nearest_neighbors(x, y, k=5),
        "random_forest": fit.random_forest(x, y, trees=20, max_depth=12),
        "rbf_svm": fit.rbf_svm(x, y),
        "softmax_regression": fit.softmax_regression(x, y, decay=0.1),
    }


def reference(name, x, y):
    """The same model as scikit-learn has it, fitted to x (N, D) by one thread: more of them wait for each other."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC, LinearSVC
    from sklearn.tree import DecisionTreeClassifier
    from threadpoolctl import threadpool_limits

    models = {
        "decision_tree": DecisionTreeClassifier(max_depth=12, random_state=0),
        "linear_svm": LinearSVC(loss="hinge", C=0.1, max_iter=5000, random_state=0),
        "nearest_neighbors": KNeighborsClassifier(5),
        "random_forest": RandomForestClassifier(20, max_depth=12, random_state=0),
        "rbf_svm": OneVsRestClassifier(SVC(kernel="rbf", C=5.0, gamma="scale")),
        "softmax_regression": LogisticRegression(C=1 / (0.1 * len(y)), max_iter=1000, tol=1e-5),
    }
    with threadpool_limits(1):
        return models[name].fit(x, y)


@pytest.mark.parametrize("name", [*FITTED, "softmax_regression"])
def test_answers_as_scikit_learn_does_on_all_test_digits(fitted, digits, name):
    """The exported arrays are the same function."""
    x, y, test = digits
    theirs = reference(name, x.flatten(1).numpy(), y.numpy()).predict(test.flatten(1).numpy())
    assert fitted[name](test).argmax(dim=1).tolist() == theirs.tolist()


@pytest.mark.parametrize("name", [*FITTED, "softmax_regression"])
def test_two_classes(digits, name):
    """Where scikit-learn has one score for two classes, the sign of it decides here too."""
    x, y, test = digits
    few = y < 2
    options = {"softmax_regression": {"decay": 0.1}, "random_forest": {"trees": 20, "max_depth": 12}}
    model = getattr(fit, name)(x[few].numpy(), y[few].numpy(), **options.get(name, {}))
    theirs = reference(name, x[few].flatten(1).numpy(), y[few].numpy()).predict(test.flatten(1).numpy())
    assert model(test).shape == (297, 2)
    assert (model(test).argmax(dim=1).numpy() == theirs).mean() > 0.98


@pytest.mark.parametrize("name", FITTED)
def test_what_is_saved_and_loaded_answers_the_same(fitted, digits, name):
    """Through the same door as every upload, and to the same bytes again."""
    model = fitted[name]
    loaded = load(save(model), model.signature)
    assert torch.equal(loaded(digits[2]), model(digits[2]))
    assert save(loaded) == save(model)
    assert not loaded.training


def test_scores_of_trees_and_neighbours_are_log_probabilities(fitted, digits):
    """softmax(z) is the leaf's distribution, or the share of the votes."""
    tree, neighbors = fitted["decision_tree"], fitted["nearest_neighbors"]
    leaf = tree.network.leaf(digits[2])
    assert torch.allclose(tree(digits[2]).softmax(dim=1), tree.network.distribution[leaf], atol=1e-6)
    votes = 5 * neighbors(digits[2]).softmax(dim=1)
    assert torch.allclose(votes, votes.round(), atol=1e-5)
    assert not tree(digits[2].clone().requires_grad_()).requires_grad


def test_scores_of_the_rbf_machine_are_scikit_learns(fitted, digits):
    """Also far away, where only the offset is left; to 3e-6 of the sum of a class's coefficients, which is 324."""
    x, y, test = digits
    theirs = reference("rbf_svm", x.flatten(1).numpy(), y.numpy())
    for pixels in (test, test * 0 + 1, test * 1000):
        assert np.allclose(fitted["rbf_svm"](pixels), theirs.decision_function(pixels.flatten(1).numpy()), atol=1e-3)


def test_gradient_of_the_rbf_machine_is_that_of_its_formula(fitted, digits):
    """z_k = sum_i a_ki exp(-gamma |x - s_i|^2) + b_k, in float64."""
    network, x = fitted["rbf_svm"].network, digits[2][:5]
    point = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(point)[:, 3].sum(), point)
    apart = x.flatten(1).double().unsqueeze(1) - network.support.double()  # (N, S, D)
    weight = network.dual[3].double() * (-network.gamma.double() * apart.square().sum(dim=2)).exp()
    expected = (-2 * network.gamma.double() * weight.unsqueeze(2) * apart).sum(dim=1)
    assert torch.allclose(gradient.flatten(1).double(), expected, atol=1e-4 * expected.abs().max().item())


def test_distances_of_near_points_far_from_the_origin_are_exact():
    """|x|^2 - 2 x.r + |r|^2 as it stands would be lost in rounding here."""
    generator = torch.Generator().manual_seed(0)
    x, r = (1000 + torch.rand(n, 20, generator=generator) for n in (5, 7))
    exact = (x.double().unsqueeze(1) - r.double()).square().sum(dim=2)
    assert torch.allclose(squared_distances(x, r).double(), exact, rtol=1e-3)
    assert squared_distances(r, r).diag().abs().max() < 1e-4


def test_soft_neighbour_becomes_the_nearest_one_and_has_a_slope_everywhere(fitted, digits):
    """At a low temperature it answers as one neighbour does, without underflow, and a class without samples too."""
    network = fitted["nearest_neighbors"].network
    one = NearestNeighbors(network.references, network.labels, 1, 11)
    point = digits[2].clone().requires_grad_()
    soft = one.soft(point, 1e-3)
    assert torch.equal(soft.argmax(dim=1), one(digits[2]).argmax(dim=1))
    (gradient,) = torch.autograd.grad(soft[:, :10].sum(), point)
    assert torch.isfinite(soft).all()
    assert (gradient.flatten(1).abs().amax(dim=1) > 0).all()


def test_thresholds_are_rounded_so_that_no_float32_changes_sides():
    """x <= t in float64 and in float32 mean the same for every float32 x."""
    exact = np.array([0.1, 0.25, 1 / 3, 0.7])
    near = fit._rounded_down(exact)
    assert (near.astype(np.float64) <= exact).all()
    assert (np.nextafter(near, np.float32(2)).astype(np.float64) > exact).all()


def test_find_sees_through_the_wrappers(fitted):
    """The network itself, a classifier around it, and a function with one of them as its module."""
    model = fitted["decision_tree"]

    def wrapped(x):
        return model(x)

    wrapped.module = model
    for outer in (model, model.network, wrapped):
        assert find(outer, DecisionTree).network is model.network
    assert find(model, NearestNeighbors) is None
    assert find(lambda x: x, DecisionTree) is None
    resized = Classifier(Signature("decision_tree", (1, 4, 4), 10), model.network, (8, 8))
    assert find(resized, DecisionTree) is None


def test_fitted_architectures_have_no_fresh_weights():
    """There is nothing to train."""
    with pytest.raises(Rejected) as caught:
        build(Signature("decision_tree", (1, 8, 8), 10), seed=0)
    assert caught.value.reason == "NOT_TRAINED"


def test_every_class_must_have_samples(digits):
    """A model cannot answer what it has never seen."""
    x, y, _ = digits
    with pytest.raises(Rejected) as caught:
        fit.decision_tree(x[y != 3], y[y != 3])
    assert caught.value.reason == "MISSING_CLASS"


TREE = {
    "feature": torch.tensor([0, 0, 3, 0, 0]),
    "threshold": torch.tensor([0.5, 0.0, 0.25, 0.0, 0.0]),
    "left": torch.tensor([1, 1, 3, 3, 4]),
    "right": torch.tensor([2, 1, 4, 3, 4]),
    "distribution": torch.eye(2)[[0, 0, 1, 1, 0]],
}
FOREST = {name: torch.cat([tensor, tensor + 5 * (name in ("left", "right"))]) for name, tensor in TREE.items()}
FOREST["roots"] = torch.tensor([0, 5])
NEIGHBORS = {"references": torch.rand(3, 4), "labels": torch.tensor([0, 0, 1]), "k": torch.tensor(2)}
RBF = {"support": torch.rand(3, 4), "dual": torch.rand(2, 3), "bias": torch.rand(2), "gamma": torch.tensor(0.5)}
LINEAR = {"1.weight": torch.rand(2, 4), "1.bias": torch.rand(2)}
WHOLE = {
    "decision_tree": TREE,
    "nearest_neighbors": NEIGHBORS,
    "random_forest": FOREST,
    "rbf_svm": RBF,
    "linear_svm": LINEAR,
}


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("decision_tree", {"left": torch.tensor([1, 1, 0, 3, 4])}, "no cycles"),
        ("decision_tree", {"left": torch.tensor([1, 1, 2, 3, 4])}, "no cycles"),
        ("decision_tree", {"right": torch.tensor([2, 1, 3, 3, 4])}, "exactly one other"),
        ("decision_tree", {"right": torch.tensor([2, 1, 5, 3, 4])}, "right must be from 0 to 4"),
        ("decision_tree", {"left": torch.tensor([-1, 1, 3, 3, 4])}, "left must be from 0 to 4"),
        ("decision_tree", {"feature": torch.tensor([0, 0, 4, 0, 0])}, "feature must be from 0 to 3"),
        ("decision_tree", {"threshold": torch.tensor([0.5, 0, torch.nan, 0, 0])}, "not finite"),
        ("decision_tree", {"threshold": torch.zeros(4)}, "M of M must be 5"),
        ("decision_tree", {"feature": torch.zeros(5)}, "must be torch.int64"),
        ("decision_tree", {"distribution": torch.full((5, 2), -1.0)}, "from 0 to 1"),
        ("decision_tree", {"distribution": torch.ones(5, 3)}, "K of MxK must be 2"),
        ("decision_tree", {"extra": torch.zeros(1)}, "needs the tensors"),
        ("random_forest", {"roots": torch.tensor([0, 4])}, "must be in the tree of their node"),
        ("random_forest", {"roots": torch.tensor([0, 2])}, "must be in the tree of their node"),
        ("random_forest", {"roots": torch.tensor([0])}, "exactly one other"),
        ("random_forest", {"roots": torch.tensor([5, 0])}, "roots must ascend from 0"),
        ("random_forest", {"roots": torch.tensor([0, 0])}, "roots must ascend from 0"),
        ("random_forest", {"roots": torch.tensor([0, 10])}, "roots must be from 0 to 9"),
        ("random_forest", {"roots": torch.arange(10)}, "must be in the tree of their node"),
        ("random_forest", {"roots": torch.zeros(0, dtype=torch.int64)}, "T is 1 to 1000"),
        ("random_forest", {"left": FOREST["left"].roll(5)}, "no cycles"),
        ("nearest_neighbors", {"k": torch.tensor(0)}, "k must be from 1 to 3"),
        ("nearest_neighbors", {"k": torch.tensor(4)}, "k must be from 1 to 3"),
        ("nearest_neighbors", {"k": torch.tensor([2])}, "0 dimensions"),
        ("nearest_neighbors", {"labels": torch.tensor([0, 0, 2])}, "labels must be from 0 to 1"),
        ("nearest_neighbors", {"labels": torch.tensor([0, 1, 0])}, "must ascend"),
        ("nearest_neighbors", {"references": torch.rand(3, 5)}, "D of RxD must be 4"),
        ("nearest_neighbors", {"references": torch.full((3, 4), 1e30)}, "references must be between"),
        ("rbf_svm", {"gamma": torch.tensor(-1.0)}, "gamma must be above 0"),
        ("rbf_svm", {"dual": torch.rand(2, 4)}, "S of KxS must be 3"),
        ("rbf_svm", {"support": torch.zeros(0, 4), "dual": torch.zeros(2, 0)}, "S is 1 to"),
        ("rbf_svm", {"bias": torch.tensor([torch.inf, 0])}, "not finite"),
        ("linear_svm", {"1.weight": torch.rand(4, 2)}, "K of KxD must be 2"),
    ],
)
def test_hostile_tensors_are_refused(name, change, words):
    """Each of these would read foreign memory, never end, or answer with no number."""
    signature = Signature(name, (1, 2, 2), 2)
    load(safetensors.torch.save(WHOLE[name]), signature)
    with pytest.raises(Rejected, match=words) as caught:
        load(safetensors.torch.save(WHOLE[name] | change), signature)
    assert caught.value.reason in ("MODEL_DOES_NOT_FIT", "NOT_FINITE")


def test_a_tree_like_a_chain_is_refused():
    """The walk takes as many rounds as the tree is deep."""
    many = 300
    node = torch.arange(2 * many + 1)
    left, right = node.clone(), node.clone()
    left[0 : 2 * many : 2], right[0 : 2 * many : 2] = node[1::2], node[2::2]
    tensors = {"feature": node * 0, "threshold": node * 0.0, "left": left, "right": right}
    with pytest.raises(Rejected, match="deeper than 256"):
        load(
            safetensors.torch.save({**tensors, "distribution": torch.ones(len(node), 2)}),
            Signature("decision_tree", (1, 2, 2), 2),
        )


def test_a_tree_of_one_leaf_answers_always_the_same():
    """No decision, no loop."""
    model = DecisionTree(
        *(torch.zeros(1, dtype=t) for t in (torch.int64, torch.float32, torch.int64, torch.int64)),
        torch.tensor([[0.25, 0.75]]),
    )
    assert torch.allclose(model(torch.rand(3, 1, 2, 2)).softmax(dim=1), torch.tensor([0.25, 0.75]))


def test_rbf_machine_keeps_its_tensors_as_float32():
    """Also where they were given as float64."""
    network = RbfSvm(*(tensor.double() for tensor in RBF.values()))
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
