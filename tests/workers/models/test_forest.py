"""A random forest: the mean of its trees; and linear models fitted to their own worst case."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from workers.data import builtin
from workers.failures import Rejected
from workers.models import Signature, count, load, save
from workers.models.classical import RandomForest, find, fit
from workers.models.classical.robust import fit_worst_case


@pytest.fixture(scope="module")
def digits():
    """600 digits (600, 1, 8, 8), their labels, and 200 others."""
    train, test = builtin("digits", "train"), builtin("digits", "test")
    return train.x[:600], train.y[:600], test.x[:200]


@pytest.fixture(scope="module")
def forest(digits):
    """Twelve trees."""
    x, y, _ = digits
    return fit.random_forest(x, y, trees=12, max_depth=8)


def test_a_forest_is_the_mean_of_its_trees(forest, digits):
    """Each by itself is a decision tree of the same arrays."""
    shares = torch.stack([tree(digits[2]).softmax(dim=1) for tree in forest.network.trees()])
    assert len(shares) == 12
    assert torch.allclose(forest(digits[2]).softmax(dim=1), shares.mean(dim=0), atol=1e-5)
    assert max(tree.depth for tree in forest.network.trees()) == forest.network.depth == 8


def test_a_forest_is_walked_in_parts_where_its_answers_are_many(forest, digits, monkeypatch):
    """A tree at a time gives what all at once give."""
    whole = forest(digits[2])
    monkeypatch.setattr("workers.models.classical.forest._AT_ONCE", 1)
    assert torch.allclose(forest(digits[2]), whole, atol=1e-6)


def test_a_forest_comes_through_the_door_of_uploads(forest, digits):
    """The same answers, the same bytes; its size is that of its arrays, as it has no parameters."""
    loaded = load(save(forest), forest.signature)
    assert torch.equal(loaded(digits[2]), forest(digits[2]))
    assert save(loaded) == save(forest)
    nodes = len(forest.network.feature)
    assert count(loaded) == nodes * (4 + 10) + 12
    assert isinstance(find(loaded, RandomForest).network, RandomForest)


def test_one_seed_one_forest(digits):
    """And another seed another one."""
    x, y, _ = digits
    first, again, other = (save(fit.random_forest(x, y, trees=3, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_pieces_of_work_are_trees_and_machines(digits):
    """So that a fit can be left between them."""
    x, y, _ = digits
    pieces = []

    def work(piece):
        pieces.append(piece)
        return piece()

    fit.random_forest(x, y, trees=5, work=work)
    fit.rbf_svm(x, y, work=work)
    fit.linear_svm(x, y, work=work)
    assert len(pieces) == 5 + 10 + 10


def test_a_linear_machine_is_not_fitted_for_long(digits, monkeypatch):
    """Its solver holds the interpreter's lock, so that nobody could renew a lease."""
    x, y, _ = digits
    long = fit.linear_svm(x, y, steps=7)
    monkeypatch.setattr(fit, "_MOST_LOOKS", 7 * int((x != 0).sum()))
    assert save(fit.linear_svm(x, y, steps=5000)) == save(long)


def test_more_neighbours_than_samples_are_refused(digits):
    """Nobody could vote."""
    x, y, _ = digits
    with pytest.raises(Rejected) as caught:
        fit.nearest_neighbors(x, y, k=601)
    assert caught.value.reason == "TOO_FEW_SAMPLES"


@pytest.mark.parametrize("name", ["linear_svm", "softmax_regression"])
def test_the_worst_case_of_two_classes_is_what_the_attack_finds(digits, name):
    """The margin less epsilon |w|_1 is that of the unclipped step against the sign of the weights."""
    x, y, _ = digits
    few = y < 2
    x, y = x[few], y[few]
    model = fit.worst_case(name, x, y, reach=torch.full((64,), 0.2), cost=1.0)
    w = model.network[1].weight[1] - model.network[1].weight[0]
    b = model.network[1].bias[1] - model.network[1].bias[0]
    s = 2.0 * y - 1
    exact = s * (x.flatten(1) @ w + b) - 0.2 * w.abs().sum()
    stepped = x.flatten(1) - 0.2 * s.unsqueeze(1) * w.sign()
    assert torch.allclose(s * (stepped @ w + b), exact, atol=1e-4)
    assert (exact > 0).float().mean() > 0.9


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_the_worst_case_fit_is_at_its_minimum(digits, loss):
    """No weight or offset moved by a little makes the stated sum smaller."""
    x, y, _ = digits
    rows, sign = x.flatten(1)[:100, 20:30], torch.where(y[:100] < 5, 1.0, -1.0).unsqueeze(1)
    reach = torch.full((10,), 0.05)
    weight, offset = fit_worst_case(rows, sign, reach, loss=loss, cost=1.0)

    def objective(w, b):
        margin = sign * (rows @ w.T + b) - w.abs() @ reach
        losses = F.softplus(-margin) if loss == "logistic" else (1 - margin).clamp_min(0)
        return float(w.square().sum() / 2 + losses.sum())

    least = objective(weight, offset)
    generator = torch.Generator().manual_seed(0)
    for length in (0.3, 0.1, 0.03):
        for _ in range(50):
            moved = weight + length * torch.randn(weight.shape, generator=generator)
            assert objective(moved, offset + length * torch.randn(1, generator=generator)) > least - 0.02


def test_guarding_against_more_makes_the_weights_smaller(digits):
    """As L1 decay does: |w|_1 falls, and most weights go to 0."""
    x, y, _ = digits
    sizes = [
        float(
            fit.worst_case("linear_svm", x, y, reach=torch.full((64,), e), cost=1.0)
            .network[1]
            .weight.detach()
            .abs()
            .sum()
        )
        for e in (0.0, 0.1, 0.4)
    ]
    assert sizes[0] > 1.5 * sizes[1] > 3 * sizes[2]


def test_only_linear_models_have_a_closed_form(digits):
    """And softmax regression for two classes only."""
    x, y, _ = digits
    for name in ("rbf_svm", "softmax_regression"):
        with pytest.raises(Rejected) as caught:
            fit.worst_case(name, x, y, reach=torch.zeros(64), cost=1.0)
        assert caught.value.reason == "NO_CLOSED_FORM"


def test_a_forest_of_another_shape_is_refused(forest):
    """Pixels beyond the picture would be foreign memory."""
    with pytest.raises(Rejected, match="feature must be from 0 to 15"):
        load(save(forest), Signature("random_forest", (1, 4, 4), 10))
