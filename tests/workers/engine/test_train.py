"""The training loop: what it promises to whoever calls it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workers.data import Dataset, builtin
from workers.defenses import DefensiveDistillation, PgdAdversarialTraining, StandardTraining
from workers.engine.attack import AttackPlan, run_attack
from workers.engine.monitor import NullMonitor
from workers.engine.train import Optimization, train
from workers.failures import Interrupted, Rejected
from workers.models import Signature, build, save

torch.set_num_threads(1)

SIGNATURE = Signature("softmax_regression", (1, 8, 8), 10)
THREE = Optimization(epochs=3, batch_size=16, learning_rate=0.01)
PGD = PgdAdversarialTraining(epsilon=0.1, steps=2, step_size=0.1, epsilon_ramp=0.5)


@pytest.fixture(scope="module")
def digits():
    """Fifty digits: 4 batches of 13, 13, 12, 12 at a batch size of 16."""
    return builtin("digits", "train").select(0, 50)


class Ear(NullMonitor):
    """Keeps what it hears."""

    def __init__(self):
        self.ticks, self.metrics = [], []

    def tick(self, fraction, message=""):
        self.ticks.append((fraction, message))

    def metric(self, name, value, step):
        self.metrics.append((name, value, step))


class Watcher(StandardTraining):
    """Standard training that keeps the arguments of its losses."""

    def __init__(self):
        self.__dict__["seen"] = []  # the class is frozen

    def loss(self, model, x, y, step):
        self.seen.append((x.clone(), step))
        return super().loss(model, x, y, step)


def test_it_learns():
    """Five epochs on 1,500 digits teach a softmax regression to read most of the 297 others."""
    optimization = Optimization(epochs=5, batch_size=50, learning_rate=0.05)
    result = train(build(SIGNATURE, seed=0), builtin("digits", "train"), StandardTraining(), optimization, seed=0)
    test = builtin("digits", "test")
    accuracy = (result.model(test.pixels(slice(None))).argmax(1) == test.y).float().mean()
    assert accuracy > 0.85
    assert not result.model.training
    assert list(result.history) == sorted(result.history, reverse=True)
    assert len(result.history) == 5


def test_pgd_training_makes_robust_where_standard_training_does_not():
    """The point of it: far more digits survive the attack they were hardened against, for little clean accuracy."""
    data, test = builtin("digits", "train"), builtin("digits", "test").select(0, 200)
    signature = Signature("wong_cnn", (1, 8, 8), 10)
    optimization = Optimization(epochs=8, batch_size=50, learning_rate=0.01)
    plan = AttackPlan(name="bim", epsilon=0.1, parameters={"steps": 10, "step_size": 0.025})
    hardening = PgdAdversarialTraining(epsilon=0.1, steps=3, step_size=0.08, epsilon_ramp=0.25)
    robust, clean = {}, {}
    for defense in (StandardTraining(), hardening):
        model = train(build(signature, seed=0), data, defense, optimization, seed=0).model
        result = run_attack(
            model, test.pixels(slice(None)), test.y, plan, sample_ids=torch.arange(200), seed=0, batch_size=100
        )
        robust[defense] = (result.prediction == test.y).float().mean()
        clean[defense] = (result.clean_prediction == test.y).float().mean()
    assert robust[hardening] > robust[StandardTraining()] + 0.2
    assert clean[hardening] > clean[StandardTraining()] - 0.1


def test_a_bare_loop_gives_the_same_weights(digits):
    """Adam, one-cycle and decoupled decay are torch's own, step for step, over the same batches."""
    watcher = Watcher()
    optimization = Optimization(epochs=3, batch_size=16, learning_rate=0.01, weight_decay=0.1)
    ours = train(build(SIGNATURE, seed=0), digits, watcher, optimization, seed=0).model
    bare = build(SIGNATURE, seed=0)
    adam = torch.optim.AdamW(bare.parameters(), lr=0.01, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=0.01, total_steps=12, cycle_momentum=False)
    for x, _ in watcher.seen:
        y = torch.stack([digits.y[(digits.x == picture).flatten(1).all(1)][0] for picture in x])
        adam.zero_grad()
        F.cross_entropy(bare(x), y).backward()
        adam.step()
        schedule.step()
    torch.testing.assert_close(ours.network[1].weight, bare.network[1].weight)


def test_every_epoch_sees_every_sample_once_in_its_own_order(digits):
    """Parts differ by one sample at most; none is left out; the order depends on seed and epoch alone."""
    watcher = Watcher()
    train(build(SIGNATURE, seed=0), digits, watcher, THREE, seed=3)
    assert [len(x) for x, _ in watcher.seen] == [13, 13, 12, 12] * 3
    epochs = [torch.cat([x for x, _ in watcher.seen[start : start + 4]]).flatten(1) for start in (0, 4, 8)]
    sort = lambda rows: sorted(map(tuple, rows.tolist()))  # noqa: E731
    assert all(sort(epoch) == sort(digits.x.flatten(1)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    again = Watcher()
    train(build(SIGNATURE, seed=9), digits, again, THREE, seed=3)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(watcher.seen, again.seen, strict=True))


def test_the_defense_is_told_where_it_is(digits):
    """Round and progress start at 0 and never reach the end."""
    watcher = Watcher()
    train(build(SIGNATURE, seed=0), digits, watcher, THREE, seed=0)
    assert [step.round for _, step in watcher.seen] == [0] * 12
    assert [step.progress for _, step in watcher.seen] == [step / 12 for step in range(12)]


def test_what_is_given_stays_as_it_is(digits):
    """The model's weights and mode, and torch's global random state, are left alone."""
    model = build(SIGNATURE, seed=0)
    before, random_state = save(model), torch.get_rng_state()
    result = train(model, digits, PGD, THREE, seed=0)
    assert save(model) == before != save(result.model)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_the_global_random_state_does_not_matter(digits):
    """Dropout is keyed by seed and step: the same weights whatever was drawn before, others with another seed."""
    model = build(SIGNATURE, seed=0)
    model.network.insert(1, nn.Dropout(0.5))
    weights = []
    for noise, seed in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(noise)
        weights.append(save(train(model, digits, StandardTraining(), THREE, seed=seed).model))
    assert weights[0] == weights[1] != weights[2]


def test_progress_is_heard(digits):
    """A tick before each step and each forward of the inner attack, never falling; the loss of each epoch."""
    ear = Ear()
    result = train(build(SIGNATURE, seed=0), digits, PGD, THREE, seed=0, monitor=ear)
    fractions = [fraction for fraction, _ in ear.ticks]
    assert len(fractions) == 12 * (1 + 2)
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 11 / 12)
    assert ear.ticks[0][1] == "epoch 1 of 3"
    assert ear.ticks[-1][1] == f"epoch 3 of 3, loss {result.history[1]:.3f}"
    assert ear.metrics == [("loss", loss, epoch) for epoch, loss in enumerate(result.history, start=1)]


def test_distillation_counts_the_epochs_of_both_networks(digits):
    """Teacher and student are one training: one row of epochs, one fraction; the student meets a frozen teacher."""
    ear, teachers = Ear(), []

    class Watched(DefensiveDistillation):
        def loss(self, model, x, y, step):
            teachers.append(None if step.teacher is None else (step.teacher.training, save(step.teacher)))
            return super().loss(model, x, y, step)

    defense = Watched(temperature=10.0, teacher_epochs=1)
    train(build(SIGNATURE, seed=0), digits, defense, THREE, seed=0, monitor=ear)
    assert ear.ticks[-1][1].startswith("epoch 6 of 6, loss ")
    assert [step for _, _, step in ear.metrics] == [1, 2, 3, 4, 5, 6]
    assert teachers[:8] == [None] * 8
    assert len(set(teachers[8:])) == 1
    assert not teachers[8][0]


def test_interruption_passes(digits):
    """Whatever a monitor raises reaches the caller, from between two steps or from within an inner attack."""

    class Impatient(Ear):
        def tick(self, fraction, message=""):
            super().tick(fraction, message)
            if len(self.ticks) == 5:
                raise Interrupted

    model = build(SIGNATURE, seed=0)
    before, ear = save(model), Impatient()
    with pytest.raises(Interrupted):
        train(model, digits, PGD, THREE, seed=0, monitor=ear)
    assert len(ear.ticks) == 5
    assert save(model) == before


@pytest.mark.parametrize("rate", [1e30, math.inf])
def test_a_loss_that_is_no_number(digits, rate):
    """Training that blows up is refused with advice, not saved."""
    optimization = Optimization(epochs=3, batch_size=5, learning_rate=rate, schedule="constant")
    signature = Signature("mlp", (1, 8, 8), 10)
    with pytest.raises(Rejected, match="smaller learning_rate") as caught:
        train(build(signature, seed=0), digits, StandardTraining(), optimization, seed=0)
    assert caught.value.reason == "TRAINING_DIVERGED"


@pytest.mark.parametrize(
    ("shape", "classes", "reason"), [((1, 4, 4), 10, "SHAPE_MISMATCH"), ((1, 8, 8), 11, "CLASS_MISMATCH")]
)
def test_data_that_the_model_can_not_take(shape, classes, reason):
    """Pictures of another size, or more classes than the model has."""
    data = Dataset(torch.zeros(4, *shape), torch.zeros(4, dtype=torch.int64), classes)
    with pytest.raises(Rejected) as caught:
        train(build(SIGNATURE, seed=0), data, StandardTraining(), THREE, seed=0)
    assert caught.value.reason == reason


def test_one_sample_and_one_epoch():
    """The smallest training there is."""
    data = builtin("digits", "train").select(0, 1)
    optimization = Optimization(epochs=1, batch_size=100, learning_rate=0.01)
    assert len(train(build(SIGNATURE, seed=0), data, StandardTraining(), optimization, seed=0).history) == 1
