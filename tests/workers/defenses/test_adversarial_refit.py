"""Adversarial refitting: which attack makes the copies, and the loss of a network."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from workers.attacks.fgsm import fgsm
from workers.attacks.nearest_neighbor import nearest_neighbor
from workers.data import builtin
from workers.defenses import AdversarialRefit
from workers.goals import Untargeted
from workers.models import Signature, build
from workers.models.classical import fit
from workers.recipe import Round, Step
from workers.threats import Linf

DEFENSE = AdversarialRefit(epsilon=0.2, refits=2, closed_form=False)


@pytest.fixture(scope="module")
def digits():
    """Two hundred digits and their labels."""
    train = builtin("digits", "train")
    return train.x[:200], train.y[:200]


@pytest.mark.parametrize("name", ["linear_svm", "rbf_svm"])
def test_what_has_slopes_is_attacked_by_the_fast_gradient_sign_method(digits, name):
    """With the true labels."""
    x, y = digits
    model = getattr(fit, name)(x, y)
    copies, labels = DEFENSE.copies(model, x, y)
    assert torch.equal(copies, fgsm(model, x, Untargeted(y), Linf(0.2)))
    assert torch.equal(labels, y)


def test_neighbours_are_attacked_by_their_smoothed_ones(digits):
    """One step."""
    x, y = digits
    model = fit.nearest_neighbors(x, y, k=3)
    copies, _ = DEFENSE.copies(model, x, y)
    assert torch.equal(copies, nearest_neighbor(model, x, Untargeted(y), Linf(0.2), steps=1, temperature=10.0))


@pytest.mark.parametrize("name", ["decision_tree", "random_forest"])
def test_trees_are_walked_and_far_walks_are_left_out(digits, name):
    """Every copy is near and is no sample, and it fools the tree, or nearly every forest; its label is the sample's."""
    x, y = digits
    model = fit.decision_tree(x, y, max_depth=6) if name == "decision_tree" else fit.random_forest(x, y, trees=5)
    copies, labels = DEFENSE.copies(model, x, y)
    assert 0 < len(copies) < len(x)
    fooled = (model(copies).argmax(dim=1) != labels).float().mean()
    assert fooled == 1 if name == "decision_tree" else fooled > 0.9
    distance = (copies.flatten(1).unsqueeze(1) - x.flatten(1)).abs().amax(dim=2)
    nearest = distance.argmin(dim=1)
    assert (distance.amin(dim=1) > 0).all()
    assert (distance.amin(dim=1) <= 0.2).all()
    assert (labels == y[nearest]).float().mean() > 0.95
    everything, _ = AdversarialRefit(epsilon=1.0, refits=1, closed_form=False).copies(model, x, y)
    assert len(everything) > len(copies)


def test_a_network_learns_from_the_copies_of_its_forerunners():
    """J_n = mean of the clean loss and of the loss on each forerunner's copies; it begins anew each time."""
    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    signature = Signature("softmax_regression", (1, 4, 4), 3)
    model, *teachers = (build(signature, seed=seed) for seed in range(3))
    assert DEFENSE.rounds(4) == (Round(4), Round(4), Round(4))
    seen = [x, *(fgsm(teacher, x, Untargeted(y), Linf(0.2)) for teacher in teachers)]
    expected = sum(F.cross_entropy(model(batch), y) for batch in seen) / 3
    torch.testing.assert_close(DEFENSE.loss(model, x, y, Step(round=2, teachers=tuple(teachers))), expected)
