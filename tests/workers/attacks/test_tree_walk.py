"""The walk through a tree against an exhaustive search over every leaf."""

from __future__ import annotations

import itertools
import sys

import pytest
import torch

from workers.attacks.tree_walk import tree_walk
from workers.data import builtin
from workers.engine.attack import AttackPlan, run_attack
from workers.engine.memory import Portion
from workers.failures import Rejected
from workers.goals import Targeted, Untargeted
from workers.models import Classifier, Signature
from workers.models.classical import DecisionTree, NearestNeighbors, fit
from workers.threats import Linf

ANY = Linf(1.0)  # it is not used


def random_tree(seed, *, nodes=15, pixels=4, classes=3):
    """A tree of random shape: leaves are split at random until there are so many nodes."""
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.arange(nodes), torch.arange(nodes)
    leaves = [0]
    for first in range(1, nodes - 1, 2):
        split = leaves.pop(int(torch.randint(len(leaves), (1,), generator=generator)))
        left[split], right[split] = first, first + 1
        leaves += [first, first + 1]
    feature = torch.randint(pixels, (nodes,), generator=generator)
    distribution = torch.rand(nodes, classes, generator=generator).softmax(dim=1)
    return DecisionTree(feature, torch.rand(nodes, generator=generator), left, right, distribution)


def exhaustive(tree, x, wanted):
    """The smallest number of changed pixels, then squared length, to any picture whose answer is wanted.

    In each pixel only the values next to a threshold, and its own, can be nearest.
    """
    below = tree.threshold
    above = torch.nextafter(below, torch.tensor(2.0))
    choices = []
    for pixel in range(len(x)):
        at = (tree.feature == pixel) & (tree.left != torch.arange(len(tree.left)))
        choices.append(torch.cat([x[pixel : pixel + 1], below[at], above[at]]).tolist())
    points = torch.tensor(list(itertools.product(*choices)))
    good = points[wanted(tree(points.view(-1, 1, 2, 2)).argmax(dim=1))]
    if len(good) == 0:
        return None
    changed = (good != x).sum(dim=1)
    length = (good - x).double().square().sum(dim=1)
    return min(zip(changed.tolist(), length.tolist(), strict=True))


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_changes_the_fewest_pixels_and_these_the_least(seed, targeted):
    """No picture at all that reaches the goal has fewer changed pixels, or as few and nearer ones."""
    tree = random_tree(seed)
    x = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(100 + seed))
    y = tree(x).argmax(dim=1)
    target = (y + 1) % 3
    x_adv = tree_walk(tree, x, Targeted(target) if targeted else Untargeted(y), ANY)
    answer = tree(x_adv).argmax(dim=1)
    for row in range(5):
        best = exhaustive(tree, x[row].flatten(), lambda k, i=row: (k == target[i]) if targeted else (k != y[i]))
        if best is None:
            assert torch.equal(x_adv[row], x[row])
            continue
        assert (answer[row] == target[row]) if targeted else (answer[row] != y[row])
        moved = (x_adv[row] - x[row]).double()
        assert (x_adv[row] != x[row]).sum() == best[0]
        assert moved.square().sum().item() == pytest.approx(best[1], abs=1e-12)


def test_a_threshold_is_crossed_by_the_next_float():
    """Not by an arbitrary small number: x <= t goes left, and the float after t goes right."""
    tree = DecisionTree(
        torch.tensor([2, 0, 0]),
        torch.tensor([0.3, 0, 0]),
        torch.tensor([1, 1, 2]),
        torch.tensor([2, 1, 2]),
        torch.tensor([[0.5, 0.5], [1, 0], [0, 1]]),
    )
    x = torch.tensor([[0.1, 0.9, 0.0, 0.5], [0.1, 0.9, 1.0, 0.5]]).view(2, 1, 2, 2)
    x_adv = tree_walk(tree, x, Untargeted(torch.tensor([0, 1])), ANY).flatten(1)
    threshold = torch.tensor(0.3)
    assert x_adv[:, 2].tolist() == [torch.nextafter(threshold, torch.tensor(1.0)).item(), threshold.item()]
    assert torch.equal(x_adv[:, [0, 1, 3]], x.flatten(1)[:, [0, 1, 3]])


def test_normalisation_in_front_of_the_tree_is_seen_through():
    """Thresholds lie in normalised units; the pixels that cross them are found exactly."""
    tree = random_tree(3, nodes=31, pixels=12)
    tree.threshold.mul_(4).sub_(2)
    model = Classifier(Signature("decision_tree", (3, 2, 2), 3, (0.5, 0.4, 0.3), (0.2, 0.3, 0.11)), tree, (2, 2))
    x = torch.rand(40, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(dim=1)
    x_adv = tree_walk(model, x, Untargeted(y), ANY)
    assert (model(x_adv).argmax(dim=1) != y).all()
    assert (x_adv != x).flatten(1).sum(dim=1).max() <= 3
    # Where one pixel was enough, the float before it on the way is still on the old side.
    single = (x_adv != x).flatten(1).sum(dim=1) == 1
    back = torch.where(x_adv == x, x, torch.nextafter(x_adv, x))
    assert (model(back).argmax(dim=1) == y)[single].all()


def test_leaves_that_no_pixel_in_the_box_reaches_are_left_out():
    """The only other class lies beyond a threshold of 1."""
    tree = DecisionTree(
        torch.tensor([0, 0, 0]),
        torch.tensor([1.0, 0, 0]),
        torch.tensor([1, 1, 2]),
        torch.tensor([2, 1, 2]),
        torch.tensor([[0.5, 0.5], [1, 0], [0, 1]]),
    )
    x = torch.rand(3, 1, 2, 2)
    assert torch.equal(tree_walk(tree, x, Untargeted(torch.zeros(3, dtype=torch.int64)), ANY), x)


def test_parts_of_the_leaves_give_what_all_of_them_give(monkeypatch):
    """Memory is bounded by looking at some leaves at a time."""
    tree = random_tree(5, nodes=63)
    x = torch.rand(7, 1, 2, 2)
    goal = Untargeted(tree(x).argmax(dim=1))
    whole = tree_walk(tree, x, goal, ANY)
    monkeypatch.setattr(sys.modules["workers.attacks.tree_walk"], "_AT_ONCE", 1)
    assert torch.equal(tree_walk(tree, x, goal, ANY), whole)


def test_breaks_a_fitted_tree_by_one_or_two_pixels():
    """Every digit of 60, by 1.5 pixels on average at most."""
    train, test = builtin("digits", "train"), builtin("digits", "test")
    model = fit.decision_tree(train.x, train.y)
    x = test.x[:60]
    y = model(x).argmax(dim=1)
    x_adv = tree_walk(model, x, Untargeted(y), ANY)
    assert (model(x_adv).argmax(dim=1) != y).all()
    assert (x_adv != x).flatten(1).sum(dim=1).float().mean() <= 1.5
    aimed = tree_walk(model, x, Targeted((y + 1) % 10), ANY)
    assert (model(aimed).argmax(dim=1) == (y + 1) % 10).all()


def test_the_engine_runs_it_and_counts_its_pixels():
    """The tree is found beneath the engine's wrappers, in pieces too; distance is the number of changed pixels."""
    tree = random_tree(1, nodes=31)
    model = Classifier(Signature("decision_tree", (1, 2, 2), 3), tree, (2, 2))
    x = torch.rand(9, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    plan = AttackPlan(name="tree_walk", epsilon=1e6, norm="l0")
    y, ids, alone = model(x).argmax(dim=1), torch.arange(9), Portion(9)
    alone.size = 2
    whole, pieces = (
        run_attack(model, x, y, plan, sample_ids=ids, seed=1, batch_size=9, portion=portion)
        for portion in (None, alone)
    )
    assert whole.success.all()
    assert whole.violations == 0
    assert torch.equal(whole.x_adv, tree_walk(tree, x, Untargeted(y), ANY))
    assert torch.equal(pieces.x_adv, whole.x_adv)
    assert whole.distance.tolist() == (whole.x_adv != x).flatten(1).sum(dim=1).tolist()
    assert (whole.backwards == 0).all()


def test_a_result_of_too_many_pixels_does_not_count():
    """At epsilon 0 nothing may change."""
    tree = random_tree(1, nodes=31)
    x = torch.rand(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    plan = AttackPlan(name="tree_walk", epsilon=0.0, norm="l0")
    found = run_attack(tree, x, tree(x).argmax(dim=1), plan, sample_ids=torch.arange(4), seed=1, batch_size=4)
    assert not found.success.any()
    assert torch.equal(found.x_adv, x)


def test_refuses_what_is_no_tree():
    """There is no path to walk."""
    x, goal = torch.rand(1, 1, 2, 2), Untargeted(torch.tensor([0]))
    for model in (torch.nn.Linear(4, 2), NearestNeighbors(torch.rand(3, 4), torch.tensor([0, 1, 1]), 1, 2)):
        with pytest.raises(Rejected) as caught:
            tree_walk(model, x, goal, ANY)
        assert caught.value.reason == "NOT_A_TREE"


@pytest.fixture(scope="module")
def forest():
    """Nine trees fitted to 300 digits, and 40 of these with the forest's own answers."""
    train = builtin("digits", "train")
    model = fit.random_forest(train.x[:300], train.y[:300], trees=9, max_depth=6)
    return model, train.x[:40], model(train.x[:40]).argmax(dim=1)


def test_a_forest_is_walked_tree_by_tree_until_its_answer_changes(forest):
    """Every sample is turned, and all but the last tree of its walk were needed."""
    model, x, y = forest
    x_adv = tree_walk(model, x, Untargeted(y), ANY)
    assert (model(x_adv).argmax(dim=1) != y).all()
    assert ((x_adv >= 0) & (x_adv <= 1)).all()
    walked, rows = x.clone(), torch.arange(40)
    for tree in model.network.trees() * 3:
        rows = rows[model(walked[rows]).argmax(dim=1) == y[rows]]
        walked[rows] = tree_walk(tree, walked[rows], Untargeted(y[rows]), ANY)
    assert torch.equal(x_adv, walked)


def test_a_forest_is_walked_to_a_target(forest):
    """More trees have to agree, so more pixels change."""
    model, x, y = forest
    goal = Targeted((y + 1) % 10)
    x_adv = tree_walk(model, x, goal, ANY)
    assert goal.reached(model(x_adv)).float().mean() > 0.9
    assert (x_adv != x).sum() > (tree_walk(model, x, Untargeted(y), ANY) != x).sum()


def test_the_engine_walks_a_forest_and_counts_its_questions(forest):
    """One for the sample and one after each tree, none of them a second time for most; nothing is out of bounds."""
    model, x, y = forest
    plan = AttackPlan(name="tree_walk", epsilon=1e6, norm="l0")
    result = run_attack(model, x, y, plan, sample_ids=torch.arange(40), seed=0, batch_size=16)
    assert result.success.all()
    assert result.violations == 0
    assert (result.forwards <= 9 + 3).float().mean() >= 0.9
