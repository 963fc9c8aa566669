"""Distillation beyond Papernot's: the loss's scale, hard labels, and teachers that are not like their students."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from workers.data import builtin
from workers.defenses import DefensiveDistillation, StandardTraining
from workers.engine.train import Optimization, train
from workers.models import Signature, build, save
from workers.recipe import Round, Step

X = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])


def defense(**changed):
    """Distillation with some parameters changed."""
    return DefensiveDistillation(**{"temperature": 10.0, "teacher_epochs": 2} | changed)


def linear(seed=0):
    """A softmax regression in training mode."""
    return build(Signature("softmax_regression", (1, 4, 4), 3), seed=seed).train()


@pytest.mark.parametrize("power", [0, 1, 2])
def test_losses_at_temperature_are_multiplied_by_a_power_of_it(power):
    """The teacher's and the student's, and those at T = 1 by nothing."""
    model, teacher = linear(), linear(seed=1)
    distillation = defense(loss_power=power)
    z, p = model(X), (teacher(X) / 10).softmax(1)
    torch.testing.assert_close(distillation.loss(model, X, Y, Step(round=0)), F.cross_entropy(z, Y))
    torch.testing.assert_close(distillation.loss(model, X, Y, Step(round=1)), 10.0**power * F.cross_entropy(z / 10, Y))
    torch.testing.assert_close(
        distillation.loss(model, X, Y, Step(round=3, teachers=(teacher,))), 10.0**power * F.cross_entropy(z / 10, p)
    )


@pytest.mark.parametrize("temperature", [1.0, 10.0, 1000.0])
def test_with_power_one_the_gradient_by_the_logits_does_not_shrink_with_the_temperature(temperature):
    """It is softmax(z / T) - y, whatever T; by default."""
    z = (temperature * torch.randn(6, 3, generator=torch.Generator().manual_seed(1))).requires_grad_()
    loss = defense(temperature=temperature).loss(lambda _: z, X, Y, Step(round=1))
    (slope,) = torch.autograd.grad(loss, z)
    expected = ((z / temperature).softmax(1) - F.one_hot(Y, 3)) / 6
    torch.testing.assert_close(slope, expected)


def test_hintons_student_learns_from_hard_labels_at_temperature_one_too():
    """(1 - w) T^2 J(softmax(z / T), p) + w J(softmax(z), y)."""
    model, teacher = linear(), linear(seed=1)
    soft = F.cross_entropy(model(X) / 10, (teacher(X) / 10).softmax(1))
    expected = 0.7 * 100 * soft + 0.3 * F.cross_entropy(model(X), Y)
    student = defense(hard_weight=0.3, loss_power=2, teacher_temperature=1.0)
    torch.testing.assert_close(student.loss(model, X, Y, Step(round=3, teachers=(teacher,))), expected)


def test_hintons_teacher_is_trained_at_its_own_temperature():
    """At T = 1, where there is nothing to multiply by."""
    model = linear()
    value = defense(teacher_temperature=1.0, loss_power=2).loss(model, X, Y, Step(round=1))
    torch.testing.assert_close(value, F.cross_entropy(model(X), Y))


def test_the_teacher_may_have_another_architecture():
    """Its first round names it; the student's are of the training's own."""
    first, second, *student = defense(teacher_architecture="mlp").rounds(5)
    assert (first, second) == (Round(1, architecture="mlp"), Round(2, fresh=False))
    assert student == [Round(1), Round(5, fresh=False)]


def test_a_student_of_another_architecture_is_what_comes_out():
    """A linear student of a larger teacher: of the job's architecture, trained as that of no other teacher."""
    digits = builtin("digits", "train").select(0, 100)
    optimization = Optimization(epochs=2, batch_size=50, learning_rate=0.01)
    signature = Signature("softmax_regression", (1, 8, 8), 10)
    results = {}
    for name in ("", "mlp", "softmax_regression"):
        distillation = defense(teacher_architecture=name, temperature=2.0)
        results[name] = train(build(signature, seed=0), digits, distillation, optimization, seed=0)
        assert results[name].model.signature == signature
        assert len(results[name].history) == 1 + 2 + 1 + 2
    assert len({save(result.model) for result in results.values()}) == 3


def test_a_network_at_high_temperature_learns_as_fast_as_one_at_temperature_one():
    """Fifteen epochs of SGD at one rate: without the factor T a net at T = 100 reads far fewer digits."""
    data, test = builtin("digits", "train").select(0, 600), builtin("digits", "test")
    optimization = Optimization(epochs=15, batch_size=20, learning_rate=0.03, optimizer="sgd")
    accuracy = {}
    for name, recipe in {
        "plain": StandardTraining(),
        "scaled": defense(temperature=100.0, teacher_epochs=15),
        "as printed": defense(temperature=100.0, teacher_epochs=15, loss_power=0),
    }.items():
        model = train(build(Signature("mlp", (1, 8, 8), 10), seed=0), data, recipe, optimization, seed=0).model
        accuracy[name] = float((model(test.pixels(slice(None))).argmax(1) == test.y).float().mean())
    assert accuracy["scaled"] > accuracy["plain"] - 0.03
    assert accuracy["scaled"] > accuracy["as printed"] + 0.2
