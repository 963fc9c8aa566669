"""The losses of the defenses that fail, on one batch, against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workers.data import builtin
from workers.defenses import (
    AutoencoderInFront,
    CommitteeOfNetworks,
    ConfidenceReducing,
    DoubleBackpropagation,
    GenerativePretraining,
    MultipleGlimpses,
    NoiseAtTestTime,
    NoiseTraining,
    OutputCoding,
    WeightPenalty,
)
from workers.engine.train import Optimization, train
from workers.failures import Rejected
from workers.models import Signature, build
from workers.models.components import Coded, Denoised, Members, Noise, part
from workers.recipe import Round, Step

X = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])
AUTOENCODER = AutoencoderInFront(epsilon=0.1, units=5, autoencoder_epochs=2)
PRETRAINING = GenerativePretraining(pretraining_epochs=2, corruption=0.5)


def model(defense=None, architecture="mlp"):
    """A model with the defense's component, in training mode."""
    component = None if defense is None else defense.component()
    return build(Signature(architecture, (1, 4, 4), 3, component=component), seed=0).train()


def loss(defense, net, round_=0, seed=5):
    """The defense's loss on the batch."""
    return defense.loss(net, X, Y, Step(round=round_, generator=torch.Generator().manual_seed(seed)))


def test_weight_decay_counts_weights_and_not_offsets():
    net = model()
    squares = sum(layer.weight.square().sum() for layer in net.modules() if isinstance(layer, nn.Linear))
    torch.testing.assert_close(loss(WeightPenalty(penalty=0.2), net), F.cross_entropy(net(X), Y) + 0.1 * squares)


def test_double_backpropagation_of_a_linear_model_is_its_closed_form():
    """The slope by x is (p - e_y) W; and the penalty has a gradient by W."""
    net = model(architecture="softmax_regression")
    W = net.network[1].weight
    slope = (net(X).softmax(1) - F.one_hot(Y, 3)) @ W
    expected = F.cross_entropy(net(X), Y) + 3 * slope.square().sum(1).mean()
    value = loss(DoubleBackpropagation(gradient_penalty=6.0), net)
    torch.testing.assert_close(value, expected)
    gradient, wanted = torch.autograd.grad(value, W), torch.autograd.grad(expected, W)
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("noise", ["gaussian", "uniform", "sign"])
def test_noise_training_sees_noise_of_its_amplitude(noise):
    """Drawn from the step's generator, clipped to the box."""
    seen = []

    class Recorder(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.flatten(1)[:, :3]

    defense = NoiseTraining(noise=noise, amplitude=0.1)
    grey = torch.full((50, 1, 16, 16), 0.5)
    for seed in (1, 1, 2):
        step = Step(generator=torch.Generator().manual_seed(seed))
        defense.loss(Recorder(), grey, torch.zeros(50, dtype=torch.int64), step)
    n = seen[0] - 0.5
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    deviation = {"gaussian": 0.1, "uniform": 0.1 / 3**0.5, "sign": 0.1}[noise]
    assert n.std() == pytest.approx(deviation, rel=0.02)
    assert abs(n.mean()) < 0.005
    if noise != "gaussian":
        assert n.abs().max() <= 0.1 + 1e-6
    if noise == "sign":
        assert n.abs().min() >= 0.1 - 1e-6
    loss(NoiseTraining(noise="gaussian", amplitude=1.0), Recorder())
    assert seen[-1].min() == 0
    assert seen[-1].max() == 1


def test_pretraining_restores_each_layers_input_with_its_own_weights():
    """Without corruption the error is |W^T r(W h + b) - h|^2, for a convolution by its transposed one."""
    net = nn.Sequential(nn.Conv2d(1, 3, 2, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 3))
    value = loss(GenerativePretraining(pretraining_epochs=1, corruption=0.0), net)
    conv, linear = net[0], net[3]
    restored = F.conv_transpose2d(conv(X).relu(), conv.weight, stride=2)
    h = net[:3](X).detach()
    errors = (restored - X).square().flatten(1).sum(1) + (linear(h).relu() @ linear.weight - h).square().sum(1)
    torch.testing.assert_close(value, errors.mean())
    value.backward()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in (conv, linear))
    assert net[4].weight.grad is None


def test_corruption_hides_inputs_and_pretraining_comes_first():
    """With everything hidden a layer restores what its offsets alone say; the second round is standard training."""
    net = model()
    first, second = net.network[1], net.network[3]
    hidden = loss(GenerativePretraining(pretraining_epochs=1, corruption=1.0), net)
    h = net.network[:3](X)
    errors = [
        (layer.bias.relu() @ layer.weight - given).square().sum(1)
        for layer, given in ((first, X.flatten(1)), (second, h))
    ]
    torch.testing.assert_close(hidden, sum(error.mean() for error in errors))
    assert PRETRAINING.rounds(3) == (Round(2), Round(3, fresh=False))
    torch.testing.assert_close(loss(PRETRAINING, net, round_=1), F.cross_entropy(net(X), Y))
    with pytest.raises(Rejected) as caught:
        loss(PRETRAINING, model(architecture="softmax_regression"))
    assert caught.value.reason == "NO_HIDDEN_LAYERS"


@pytest.mark.parametrize(
    "defense",
    [
        NoiseAtTestTime(sigma=0.3, votes=2),
        ConfidenceReducing(reduction=0.1),
        MultipleGlimpses(glimpses=2, shift=0, random_glimpses=True),
    ],
    ids=lambda defense: type(defense).__name__,
)
def test_what_works_at_test_time_trains_as_usual(defense):
    torch.testing.assert_close(loss(defense, model(defense)), F.cross_entropy(model()(X), Y))


def test_glimpses_are_learned_from_one_random_shift():
    defense = MultipleGlimpses(glimpses=4, shift=2, random_glimpses=False)
    values = {loss(defense, model(defense)).item() for _ in range(4)}
    assert len(values) > 1


def test_the_members_of_a_committee_learn_each_for_itself():
    """The gradient of a member is that of its own cross-entropy."""
    defense = CommitteeOfNetworks(members=3)
    net = model(defense)
    members = part(net, Members).members
    value = loss(defense, net)
    torch.testing.assert_close(value, sum(F.cross_entropy(member(X), Y) for member in members))
    weight = members[1].network[1].weight
    own = torch.autograd.grad(F.cross_entropy(members[1](X), Y), weight)
    torch.testing.assert_close(torch.autograd.grad(value, weight), own)


def test_a_model_without_the_component_is_not_trained():
    """Or the job would end with a model that lacks what was asked for."""
    optimization = Optimization(epochs=1, batch_size=50, learning_rate=0.01)
    data = builtin("digits", "train").select(0, 50)
    for component in (None, Noise(sigma=0.2, votes=1)):
        bare = build(Signature("mlp", (1, 8, 8), 10, component=component), seed=0)
        with pytest.raises(Rejected) as caught:
            train(bare, data, NoiseAtTestTime(sigma=0.1, votes=1), optimization, seed=0)
        assert caught.value.reason == "COMPONENT_MISMATCH"


def test_every_bit_of_the_code_is_learned():
    defense = OutputCoding(bits=7, code_seed=3)
    net = model(defense)
    coded = part(net, Coded)
    expected = F.binary_cross_entropy(coded.bits(X).sigmoid(), coded.words[Y])
    torch.testing.assert_close(loss(defense, net), expected)


def test_the_autoencoder_learns_second_and_alone():
    """First the bare network; then the autoencoder, from FGSM examples of it, which stays as it is."""
    net = model(AUTOENCODER)
    stack = part(net, Denoised)
    assert AUTOENCODER.rounds(4) == (Round(4), Round(2, fresh=False))
    torch.testing.assert_close(loss(AUTOENCODER, net), F.cross_entropy(stack.inner(X), Y))
    point = X.clone().requires_grad_()
    logits = stack.inner(point)
    slope = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(1)), point)[0]
    x_adv = (X + 0.1 * slope.sign()).clamp(0, 1)
    errors = [(stack.denoiser(given) - X).flatten(1).square().sum(1).mean() for given in (x_adv, X)]
    value = loss(AUTOENCODER, net, round_=1)
    torch.testing.assert_close(value, sum(errors))
    value.backward()
    assert all(parameter.grad is None for parameter in stack.inner.parameters())
    assert all(parameter.grad is not None for parameter in stack.denoiser.parameters())
