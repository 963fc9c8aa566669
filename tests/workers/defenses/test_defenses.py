"""The loss of each defense on one batch, against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workers.defenses import (
    AdversarialRefit,
    AdversarialTrainingAtScale,
    AdversarialWeightPerturbation,
    AutoencoderInFront,
    CommitteeOfNetworks,
    ConfidenceReducing,
    DefensiveDistillation,
    DoubleBackpropagation,
    EnsembleAdversarialTraining,
    FgsmAdversarialTraining,
    FgsmRandomStart,
    FreeAdversarialTraining,
    GenerativePretraining,
    LabelSmoothing,
    Mart,
    MultipleGlimpses,
    NoiseAtTestTime,
    NoiseTraining,
    OutputCoding,
    PgdAdversarialTraining,
    StandardTraining,
    Trades,
    VirtualAdversarialTraining,
    WeightPenalty,
)
from workers.models import Signature, build
from workers.recipe import Round, Step

X = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])
EVERY = {
    "standard": StandardTraining(),
    "fgsm_adversarial": FgsmAdversarialTraining(epsilon=0.1, alpha=0.5, attack_label="predicted"),
    "pgd_adversarial": PgdAdversarialTraining(epsilon=0.1, steps=3, step_size=0.05, epsilon_ramp=0.5),
    "distillation": DefensiveDistillation(temperature=10.0, teacher_epochs=2),
    "label_smoothing": LabelSmoothing(smoothing=0.1),
    "adversarial_at_scale": AdversarialTrainingAtScale(
        epsilon=0.1, adversarial_share=0.5, adversarial_weight=0.3, epsilon_drawn=True, attack_label="least_likely"
    ),
    "fgsm_rs": FgsmRandomStart(epsilon=0.1, step_size=0.125, epsilon_ramp=0.5),
    "free": FreeAdversarialTraining(epsilon=0.1, batch_replays=2, step_size=0.1, epsilon_ramp=0.5),
    "trades": Trades(epsilon=0.1, steps=2, step_size=0.1, beta=6.0, epsilon_ramp=0.5),
    "mart": Mart(epsilon=0.1, steps=2, step_size=0.1, beta=5.0, epsilon_ramp=0.5),
    "awp": AdversarialWeightPerturbation(
        base="trades", epsilon=0.1, steps=2, step_size=0.1, gamma=0.01, beta=6.0, awp_warm_up=0.25, epsilon_ramp=0.5
    ),
    "ensemble_adversarial": EnsembleAdversarialTraining(
        epsilon=0.1, alpha=0.5, attack_label="predicted", static_models=1, static_epochs=1
    ),
    "virtual_adversarial": VirtualAdversarialTraining(
        radius=0.5, xi=1e-3, power_iterations=2, weight=1.0, entropy=True
    ),
    "adversarial_refit": AdversarialRefit(epsilon=0.1, refits=1, closed_form=False),
    "noise_training": NoiseTraining(noise="sign", amplitude=0.1),
    "weight_penalty": WeightPenalty(penalty=0.01),
    "double_backprop": DoubleBackpropagation(gradient_penalty=1.0),
    "generative_pretraining": GenerativePretraining(pretraining_epochs=1, corruption=0.3),
    "test_time_noise": NoiseAtTestTime(sigma=0.1, votes=2),
    "autoencoder": AutoencoderInFront(epsilon=0.1, units=8, autoencoder_epochs=1),
    "committee": CommitteeOfNetworks(members=2),
    "confidence_reduction": ConfidenceReducing(reduction=0.05),
    "output_code": OutputCoding(bits=8, code_seed=0),
    "glimpses": MultipleGlimpses(glimpses=2, shift=1, random_glimpses=True),
}


def linear(seed=0):
    """A softmax regression in training mode."""
    return build(Signature("softmax_regression", (1, 4, 4), 3), seed=seed).train()


def loss(defense, model, *, teacher=None, round_=1, progress=1.0, seed=5):
    """The defense's loss on the batch."""
    generator = torch.Generator().manual_seed(seed)
    teachers = () if teacher is None else (teacher,)
    return defense.loss(model, X, Y, Step(round=round_, progress=progress, generator=generator, teachers=teachers))


class Recorder(nn.Module):
    """A model that keeps what it is asked, and in which mode."""

    def __init__(self, model):
        super().__init__()
        self.model, self.asked = model, []

    def forward(self, x):
        self.asked.append((x.detach().clone(), self.training))
        return self.model(x)


def test_standard_is_cross_entropy():
    """J(theta, x, y)."""
    model = linear()
    torch.testing.assert_close(loss(StandardTraining(), model), F.cross_entropy(model(X), Y))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("attack_label", ["true", "predicted"])
def test_fgsm_mixes_clean_and_adversarial_loss(alpha, attack_label):
    """On a linear model the sign of the gradient is known: that of sum_k (p_k - [k = label]) w_k."""
    model = linear()
    logits = model(X)
    label = Y if attack_label == "true" else logits.argmax(1)
    assert not torch.equal(logits.argmax(1), Y)  # or the two labels could not be told apart
    slope = (logits.softmax(1) - F.one_hot(label, 3)) @ model.network[1].weight
    x_adv = (X + 0.1 * slope.sign().view_as(X)).clamp(0, 1)
    expected = alpha * F.cross_entropy(model(X), Y) + (1 - alpha) * F.cross_entropy(model(x_adv), Y)
    defense = FgsmAdversarialTraining(epsilon=0.1, alpha=alpha, attack_label=attack_label)
    torch.testing.assert_close(loss(defense, model), expected)


@pytest.mark.parametrize(("progress", "radius"), [(0.0, 0.0), (0.25, 0.05), (0.5, 0.1), (0.9, 0.1)])
def test_pgd_trains_on_the_edge_of_the_ramped_ball(progress, radius):
    """The last forward is on examples at the present radius, all before it on the way there; none leaves the box."""
    model = Recorder(linear())
    value = loss(EVERY["pgd_adversarial"], model, progress=progress)
    *crafting, (x_adv, training) = model.asked
    assert [mode for _, mode in crafting] == [False] * 3
    assert training
    assert (x_adv - X).abs().max() == pytest.approx(radius, abs=1e-6)
    assert all((x >= 0).all() and (x <= 1).all() and (x - X).abs().max() <= radius + 1e-6 for x, _ in crafting)
    torch.testing.assert_close(value, F.cross_entropy(model.model(x_adv), Y))


def test_pgd_without_a_ramp_starts_at_full_radius():
    """`epsilon_ramp` 0 is no ramp at all."""
    model = Recorder(linear())
    loss(PgdAdversarialTraining(epsilon=0.1, steps=2, step_size=0.1, epsilon_ramp=0.0), model, progress=0.0)
    assert (model.asked[-1][0] - X).abs().max() == pytest.approx(0.1, abs=1e-6)


def test_pgd_starts_where_the_generator_says():
    """Equal generators give equal random starts, others others."""
    starts = []
    for seed in (1, 1, 2):
        model = Recorder(linear())
        loss(EVERY["pgd_adversarial"], model, seed=seed)
        starts.append(model.asked[0][0])
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_distillation_trains_two_networks():
    """Teacher and student, each with one epoch at T = 1 before its own; standard training trains one."""
    defense = DefensiveDistillation(temperature=10.0, teacher_epochs=2)
    assert defense.rounds(5) == (Round(1), Round(2, fresh=False), Round(1), Round(5, fresh=False))
    assert EVERY["standard"].rounds(5) == (Round(5),)


def test_distillation_begins_at_temperature_one():
    """The first round of either network is standard training."""
    model, expected = linear(), F.cross_entropy(linear()(X), Y)
    torch.testing.assert_close(loss(EVERY["distillation"], model, round_=0), expected)
    torch.testing.assert_close(loss(EVERY["distillation"], model, round_=2, teacher=linear(seed=1)), expected)


def test_the_teacher_learns_hard_labels_at_temperature():
    """T J(softmax(z / T), y)."""
    model = linear()
    torch.testing.assert_close(loss(EVERY["distillation"], model), 10 * F.cross_entropy(model(X) / 10, Y))


def test_the_student_learns_the_teachers_answers():
    """Its loss is least, and its gradient 0, where it answers as the teacher does; the teacher gets no gradient."""
    teacher, other = linear(seed=1), linear(seed=2)
    alike = linear(seed=1)
    same = loss(EVERY["distillation"], alike, teacher=teacher, round_=3)
    same.backward()
    assert alike.network[1].weight.grad.abs().max() < 1e-7
    assert teacher.network[1].weight.grad is None
    different = loss(EVERY["distillation"], other, teacher=teacher, round_=3)
    p, q = (teacher(X) / 10).softmax(1), (other(X) / 10).softmax(1)
    divergence = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(different - same, 10 * divergence, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", EVERY)
def test_the_model_is_lent(name):
    """Modes come back as they were, a frozen layer's too; no parameter has a gradient before `backward`."""
    model = build(Signature("mlp", (1, 4, 4), 3, component=EVERY[name].component()), seed=0).train()
    frozen = next(module for module in model.modules() if isinstance(module, nn.ReLU)).eval()
    loss(EVERY[name], model, teacher=linear())
    assert [module for module in model.modules() if not module.training] == [frozen]
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "batches"),
    [
        ("standard", 1),
        ("fgsm_adversarial", 2),
        ("pgd_adversarial", 1),
        ("virtual_adversarial", 1),
        ("label_smoothing", 1),
        ("adversarial_at_scale", 1),
        ("fgsm_rs", 1),
        ("free", 1),
        ("trades", 2),
        ("mart", 2),
        ("awp", 2),
        ("ensemble_adversarial", 2),
    ],
)
def test_trap_17_batch_normalisation_learns_from_the_loss_and_not_from_crafting(name, batches):
    """Statistics move with the batches that the loss is taken on, and with none in between; the mode stays."""
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3)).train()
    loss(EVERY[name], model)
    assert model[1].num_batches_tracked == batches
    assert (model[1].running_mean != 0).all()
    assert all(module.training for module in model.modules())
