"""Virtual adversarial training: the direction, what no gradient flows through, and whose labels are read."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workers.data import builtin
from workers.defenses import VirtualAdversarialTraining
from workers.engine import feed
from workers.engine.train import Optimization, train
from workers.models import Signature, build, save
from workers.recipe import Step

X = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 1, 0, 1, 0])


def defense(**changed):
    """Virtual adversarial training with some parameters changed."""
    given = {"radius": 0.5, "xi": 1e-3, "power_iterations": 1, "weight": 2.0, "entropy": False}
    return VirtualAdversarialTraining(**given | changed)


def linear(classes=2):
    """A softmax regression in training mode."""
    return build(Signature("softmax_regression", (1, 4, 4), classes), seed=0).train()


def step(**changed):
    """A step with its own noise."""
    return Step(**{"generator": torch.Generator().manual_seed(5)} | changed)


class Recorder(nn.Module):
    """A model that keeps what it is asked."""

    def __init__(self, model):
        super().__init__()
        self.model, self.asked = model, []

    def forward(self, x):
        self.asked.append(x.detach().clone())
        return self.model(x)


def divergence(z, z_moved):
    """KL(p || p_moved), averaged."""
    return (z.softmax(1) * (z.log_softmax(1) - z_moved.log_softmax(1))).sum(1).mean()


def test_with_two_classes_the_direction_is_the_normal_of_the_boundary():
    """The divergence of a linear model is curved along w_0 - w_1 alone, so one iteration finds it; its sign is free."""
    model = Recorder(linear())
    value = defense().loss(model, X, Y, step())
    clean, nearby, moved = model.asked
    weights = model.model.network[1].weight
    normal = F.normalize(weights[0] - weights[1], dim=0)
    assert torch.equal(clean, X)
    assert (nearby - X).flatten(1).norm(dim=1) == pytest.approx(torch.full((6,), 1e-3), rel=1e-3)
    r = (moved - X).flatten(1)
    torch.testing.assert_close(r.norm(dim=1), torch.full((6,), 0.5))
    assert ((r @ normal).abs() / 0.5 > 0.999).all()
    expected = F.cross_entropy(model.model(X), Y) + 2 * divergence(model.model(X), model.model(moved))
    torch.testing.assert_close(value, expected)


def test_power_iterations_approach_the_most_curved_direction():
    """With many classes they turn towards the first eigenvector of W^T (diag p - p p^T) W."""
    model, found = linear(classes=8), {}
    p, weights = model(X).softmax(1), model.network[1].weight
    curvature = weights.T @ (torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)) @ weights
    steepest = torch.linalg.eigh(curvature).eigenvectors[:, :, -1]
    for count in (1, 30):
        recorder = Recorder(model)
        defense(power_iterations=count, xi=1e-2).loss(recorder, X, Y, step())
        assert len(recorder.asked) == 2 + count
        r = (recorder.asked[-1] - X).flatten(1)
        found[count] = ((r * steepest).sum(1).abs() / 0.5).mean()
    assert found[30] > 0.95
    assert found[30] > found[1]


def test_no_gradient_flows_through_the_prediction_or_the_perturbation():
    """The gradient is that with p and r held fast, and the step of the power iteration leaves none behind."""
    model = Recorder(linear())
    defense().loss(model, X, Y, step()).backward()
    found = model.model.network[1].weight.grad.clone()
    moved = model.asked[-1]
    model.zero_grad()
    fixed = model.model(X).detach()
    (F.cross_entropy(model.model(X), Y) + 2 * divergence(fixed, model.model(moved))).backward()
    torch.testing.assert_close(found, model.model.network[1].weight.grad)


def test_entropy_is_added_where_it_is_asked_for():
    """The mean entropy of the predictions, with its gradient."""
    model = linear()
    without, with_it = (defense(entropy=entropy).loss(model, X, Y, step()) for entropy in (False, True))
    z = model(X)
    entropy = -(z.softmax(1) * z.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(with_it - without, entropy)
    weights = model.network[1].weight
    (slope,), (expected,) = (torch.autograd.grad(value, weights) for value in (with_it - without, entropy))
    torch.testing.assert_close(slope, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("entropy", [False, True])
def test_pictures_without_labels_are_smoothed_and_the_others_learned(entropy):
    """The loss on labels is that of the one batch, the divergence (and the entropy) that of the other."""
    model, others = Recorder(linear()), X.flip(0)[:4]
    value = defense(entropy=entropy).loss(model, X, Y, step(unlabelled=others))
    moved = model.asked[-1]
    assert [len(asked) for asked in model.asked] == [6, 4, 4, 4]
    z = model.model(others)
    expected = F.cross_entropy(model.model(X), Y) + 2 * divergence(z, model.model(moved))
    expected = expected - entropy * (z.softmax(1) * z.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(value, expected)


def test_batch_normalisation_learns_from_unperturbed_pictures_only():
    """From those without labels, where there are any; what was frozen stays so, and nothing is left switched off."""
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.BatchNorm1d(16), nn.Linear(16, 2)).train()
    frozen = model[2].eval()
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    defense(power_iterations=3).loss(model, X, Y, step(unlabelled=X.flip(0)[:4]))
    assert model[1].num_batches_tracked == 1
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    assert all(module.track_running_stats for module in (model[1], frozen))
    assert (model[1].training, frozen.training) == (True, False)
    torch.testing.assert_close(model[1].running_mean, 0.1 * X.flip(0)[:4].flatten(1).mean(0))


def test_a_prediction_without_a_slope_is_left_alone():
    """Where float32 knows no direction the divergence is 0, not NaN."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).train()
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([1e4, -1e4]))
    value = defense().loss(model, X, torch.zeros(6, dtype=torch.int64), step())
    value.backward()
    assert value == 0
    assert model[1].weight.grad.isfinite().all()


def test_labels_that_may_not_be_read_change_nothing(monkeypatch):
    """With all other labels set to 0 the training ends with the same bytes; with others for the few it does not."""
    data = builtin("digits", "train").select(0, 60)
    few = feed.labelled_samples(data, 20, seed=1)
    monkeypatch.setattr(feed, "labelled_samples", lambda *_: few)
    rest = torch.ones(60, dtype=torch.bool).index_fill(0, few, value=False)

    def weights(y):
        net = build(Signature("mlp_bn", (1, 8, 8), 10), seed=0)
        changed = type(data)(data.x, y, 10)
        optimization = Optimization(epochs=2, batch_size=30, learning_rate=0.01)
        return save(train(net, changed, defense(labelled=20, labelled_batch=10), optimization, seed=1).model)

    assert weights(data.y.masked_fill(rest, 0)) == weights(data.y)
    assert weights((data.y + ~rest) % 10) != weights(data.y)
