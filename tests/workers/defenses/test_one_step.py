"""Label smoothing, and the defenses whose examples are one step away: the loss of one batch against its formula."""

from __future__ import annotations

from statistics import NormalDist

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workers.defenses import AdversarialTrainingAtScale, EnsembleAdversarialTraining, LabelSmoothing
from workers.models import Signature, build
from workers.recipe import Round, Step

X = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])
AT_SCALE = {"adversarial_share": 0.5, "adversarial_weight": 0.3, "epsilon_drawn": False}
STATIC = {"alpha": 0.4, "attack_label": "true", "static_models": 2, "static_epochs": 3}


def linear(seed=0):
    """A softmax regression in training mode."""
    return build(Signature("softmax_regression", (1, 4, 4), 3), seed=seed).train()


def step(seed=5, **given):
    """A step of its own stream of random numbers."""
    return Step(generator=torch.Generator().manual_seed(seed), **given)


def fgsm(model, x, label, epsilon):
    """One step up the cross-entropy of `label`, whose slope on a linear model is (p - [k = label]) W."""
    slope = (model(x).softmax(1) - F.one_hot(label, 3)) @ model.network[1].weight
    return (x + epsilon * slope.sign().view_as(x)).clamp(0, 1)


class Batches(nn.Module):
    """A model that keeps the batches that it is asked in training mode."""

    def __init__(self, model):
        super().__init__()
        self.model, self.asked = model, []

    def forward(self, x):
        if self.training:
            self.asked.append(x.detach().clone())
        return self.model(x)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothed_labels_leave_a_little_for_every_class(smoothing):
    """-sum_k q_k log p_k with q_k = (1 - smoothing) [k = y] + smoothing / K."""
    model = linear()
    q = (1 - smoothing) * F.one_hot(Y, 3) + smoothing / 3
    expected = -(q * model(X).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(LabelSmoothing(smoothing=smoothing).loss(model, X, Y, step()), expected)


@pytest.mark.parametrize("attack_label", ["least_likely", "predicted", "true"])
def test_at_scale_replaces_the_first_half_of_a_batch(attack_label):
    """(lambda sum_{i <= k} J(x_adv_i, y_i) + sum_{i > k} J(x_i, y_i)) / ((m - k) + lambda k)."""
    model = linear()
    z = model(X[:3])
    x_adv = {
        "least_likely": fgsm(model, X[:3], z.argmin(1), -0.1),
        "predicted": fgsm(model, X[:3], z.argmax(1), 0.1),
        "true": fgsm(model, X[:3], Y[:3], 0.1),
    }
    J = [F.cross_entropy(model(x), y, reduction="sum") for x, y in ((x_adv[attack_label], Y[:3]), (X[3:], Y[3:]))]
    defense = AdversarialTrainingAtScale(epsilon=0.1, attack_label=attack_label, **AT_SCALE)
    torch.testing.assert_close(defense.loss(model, X, Y, step()), (0.3 * J[0] + J[1]) / (3 + 0.3 * 3))
    others = [other for name, other in x_adv.items() if name != attack_label]
    assert not any(torch.equal(other, x_adv[attack_label]) for other in others), "or the labels could not be told apart"


@pytest.mark.parametrize(("share", "replaced"), [(0.0, 0), (0.2, 1), (1.0, 6)])
def test_at_scale_shows_clean_and_adversarial_samples_as_one_batch(share, replaced):
    """Batch normalisation learns from both at once; without a share it is standard training."""
    model = Batches(linear())
    defense = AdversarialTrainingAtScale(
        epsilon=0.1, adversarial_share=share, adversarial_weight=0.3, epsilon_drawn=False, attack_label="least_likely"
    )
    value = defense.loss(model, X, Y, step())
    (batch,) = model.asked
    assert [bool(row) for row in (batch != X).flatten(1).any(1)] == [True] * replaced + [False] * (6 - replaced)
    if share == 0:
        torch.testing.assert_close(value, F.cross_entropy(model.model(X), Y))


def test_at_scale_draws_an_epsilon_for_each_example():
    """From the positive half of N(0, epsilon / 2), cut at epsilon: compared with its distribution function."""
    x, y = torch.full((2000, 1, 4, 4), 0.5), torch.zeros(2000, dtype=torch.int64)
    model = Batches(linear())
    given = {"adversarial_share": 1.0, "adversarial_weight": 0.3, "epsilon_drawn": True, "attack_label": "true"}
    AdversarialTrainingAtScale(epsilon=0.4, **given).loss(model, x, y, step())
    drawn = (model.asked[0] - x).flatten(1).abs().amax(1)
    assert drawn.max() <= 0.4 + 1e-6
    normal = NormalDist(0, 0.2)
    for epsilon in (0.05, 0.1, 0.2, 0.3):
        below = (normal.cdf(epsilon) - 0.5) / (normal.cdf(0.4) - 0.5)
        assert (drawn <= epsilon).float().mean() == pytest.approx(below, abs=0.04)


def test_static_networks_are_trained_first_each_from_weights_of_its_own():
    """Rounds of their own, of the model's architecture or of another; clean batches in them."""
    same = EnsembleAdversarialTraining(epsilon=0.1, **STATIC)
    assert same.rounds(5) == (Round(3, initial=1), Round(3, initial=2), Round(5))
    other = EnsembleAdversarialTraining(
        epsilon=0.1, **STATIC | {"static_models": 3}, static_architectures="mlp, wong_cnn"
    )
    assert [round_.architecture for round_ in other.rounds(5)] == ["mlp", "wong_cnn", "mlp", ""]
    model = linear()
    for number in (0, 1):
        torch.testing.assert_close(same.loss(model, X, Y, step(round=number)), F.cross_entropy(model(X), Y))


def test_an_ensemble_s_examples_come_from_each_of_its_networks():
    """alpha J(x) + (1 - alpha) J(x_adv): the source is drawn by the step's generator, each about as often."""
    model, static = linear(), (linear(1), linear(2))
    defense = EnsembleAdversarialTraining(epsilon=0.1, **STATIC)
    made = [fgsm(source, X, Y, 0.1) for source in (model, *static)]
    expected = torch.stack(
        [0.4 * F.cross_entropy(model(X), Y) + 0.6 * F.cross_entropy(model(x_adv), Y) for x_adv in made]
    )
    counts = [0, 0, 0]
    for seed in range(300):
        value = defense.loss(model, X, Y, step(seed, round=2, teachers=static))
        differences = (expected - value).abs()
        assert differences.min() < 1e-5
        counts[int(differences.argmin())] += 1
    assert min(counts) > 60
