"""What an optimisation may ask for beside its rate: an average, another precision, another mode, a layout."""

from __future__ import annotations

import copy

import pytest
import safetensors.torch
import torch
from torch import nn

from workers.data import builtin
from workers.defenses import DefensiveDistillation, PgdAdversarialTraining, StandardTraining
from workers.engine.train import Optimization, train
from workers.engine.train_precision import in_bfloat16
from workers.models import Classifier, Signature, build, save

torch.set_num_threads(1)

SIGNATURE = Signature("wong_cnn", (1, 8, 8), 10)
BASE = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02}
PGD = PgdAdversarialTraining(epsilon=0.1, steps=2, step_size=0.1, epsilon_ramp=0.5)


@pytest.fixture(scope="module")
def digits():
    """Fifty digits, four batches."""
    return builtin("digits", "train").select(0, 50)


class Weights(StandardTraining):
    """Standard training that keeps the weights after each step but the last."""

    def __init__(self):
        self.__dict__["seen"] = []  # the class is frozen

    def loss(self, model, x, y, step):
        self.seen.append(model.network[-1].weight.detach().clone())
        return super().loss(model, x, y, step)


def test_the_average_is_that_of_all_steps(digits):
    """By hand, step by step, from the weights that the loss has met."""
    watcher = Weights()
    result = train(build(SIGNATURE, seed=0), digits, watcher, Optimization(**BASE, average_decay=0.6), seed=0)
    last = train(build(SIGNATURE, seed=0), digits, StandardTraining(), Optimization(**BASE), seed=0)
    met = [*watcher.seen[1:], last.model.network[-1].weight]
    mean = watcher.seen[0]
    for step, weight in enumerate(met, start=1):
        d = min(0.6, (1 + step) / (10 + step))
        mean = d * mean + (1 - d) * weight
    torch.testing.assert_close(result.model.network[-1].weight, mean)
    assert not result.model.training


def test_the_averaged_network_has_the_live_statistics(digits):
    """Batch normalisation's are averages already, and those of the last step."""
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    model = Classifier(SIGNATURE, network, (8, 8))
    plain, averaged = (
        train(copy.deepcopy(model), digits, StandardTraining(), Optimization(**BASE, average_decay=decay), seed=0).model
        for decay in (0.0, 0.9)
    )
    assert torch.equal(plain.network[1].running_mean, averaged.network[1].running_mean)
    assert averaged.network[1].num_batches_tracked == 12
    assert not torch.equal(plain.network[2].weight, averaged.network[2].weight)


def test_a_teacher_is_the_averaged_network(digits):
    """What the next network learns from is what the training would have ended with."""
    saved = []
    defense, how = DefensiveDistillation(temperature=5.0, teacher_epochs=1), Optimization(**BASE, average_decay=0.9)
    train(build(SIGNATURE, seed=0), digits, defense, how, seed=0, save=saved.append)
    before, after = (safetensors.torch.load(checkpoint) for checkpoint in saved[1:3])
    names = [name.removeprefix("average/") for name in before if name.startswith("average/")]
    assert names
    assert all(torch.equal(before[f"average/{name}"], after[f"teacher/0/{name}"]) for name in names)
    assert not torch.equal(before["average/0.weight"], before["network/0.weight"])


def test_bfloat16_stays_inside_the_network(digits):
    """Inputs, perturbations, logits, losses, gradients and weights are float32; the arithmetic in between is not."""
    met = set()

    class Watched(PgdAdversarialTraining):
        def loss(self, model, x, y, step):
            loss = super().loss(model, x, y, step)
            met.update({x.dtype, loss.dtype, model(x).dtype, model.network[-1].weight.dtype})
            return loss

        def after_backward(self, model, step):
            met.update(parameter.grad.dtype for parameter in model.parameters())

    model = build(SIGNATURE, seed=0)
    inner = set()
    how = Optimization(**BASE, precision="bfloat16")
    defense = Watched(epsilon=0.1, steps=2, step_size=0.1, epsilon_ramp=0.5)
    result = train(model, digits, defense, how, seed=0)
    assert met == {torch.float32}
    exact = train(model, digits, PGD, Optimization(**BASE), seed=0)
    assert save(result.model) != save(exact.model)
    assert result.history == pytest.approx(exact.history, rel=0.05)
    model.network[0].register_forward_hook(lambda _module, _given, made: inner.add(made.dtype))
    x = digits.pixels(slice(None))
    with in_bfloat16(model):
        assert model(x).dtype == torch.float32
        assert copy.deepcopy(model)(x).dtype == torch.float32
    model(x)
    assert inner == {torch.bfloat16, torch.float32}
    assert "forward" not in vars(model)
    assert "forward" not in vars(result.model)


def test_the_crafting_mode_is_the_defenses(digits):
    """In training mode batch normalisation counts the unfinished examples too."""
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    counted = {}
    for mode in ("eval", "train"):
        model = Classifier(SIGNATURE, copy.deepcopy(network), (8, 8))
        result = train(model, digits, PGD, Optimization(**BASE, crafting_mode=mode), seed=0)
        counted[mode] = int(result.model.network[1].num_batches_tracked)
    assert counted == {"eval": 12, "train": 12 * 3}


def test_weights_stay_in_the_layout_that_convolutions_are_fastest_in(digits):
    """In training as before: the network, its gradients, its average."""
    layouts = set()

    class Watched(StandardTraining):
        def after_backward(self, model, step):
            weight = model.network[2].weight
            layouts.update(t.is_contiguous(memory_format=torch.channels_last) for t in (weight, weight.grad))
            layouts.update(not t.is_contiguous() for t in (weight, weight.grad))

    for decay in (0.0, 0.9):
        result = train(build(SIGNATURE, seed=0), digits, Watched(), Optimization(**BASE, average_decay=decay), seed=0)
        assert result.model.network[2].weight.is_contiguous(memory_format=torch.channels_last)
    assert layouts == {True}
