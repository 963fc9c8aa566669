"""A training that is watched, averaged and rolled back: what it promises, cut off and resumed or not."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from torch import nn

from workers.data import builtin
from workers.defenses import (
    DefensiveDistillation,
    FreeAdversarialTraining,
    PgdAdversarialTraining,
    StandardTraining,
)
from workers.engine.monitor import NullMonitor
from workers.engine.train import Optimization, Validation, train
from workers.engine.train_validation import MOST_ROLLBACKS
from workers.failures import Interrupted, Rejected
from workers.models import Classifier, Signature, save

torch.set_num_threads(1)

SIGNATURE = Signature("wong_cnn", (1, 8, 8), 10)
PGD = PgdAdversarialTraining(epsilon=0.1, steps=2, step_size=0.1, epsilon_ramp=0.5)
DEFENSES = {
    "pgd": PGD,
    "free": FreeAdversarialTraining(epsilon=0.1, batch_replays=2, step_size=0.1, epsilon_ramp=0.5),
    "distillation": DefensiveDistillation(temperature=10.0, teacher_epochs=1),
}
# All that there is, at once.
FULL = Optimization(
    epochs=4,
    batch_size=16,
    learning_rate=0.05,
    weight_decay=0.01,
    optimizer="sgd",
    schedule="cosine",
    warm_up=0.3,
    average_decay=0.9,
    gradient_clip=1.0,
    crop_padding=1,
    flip=True,
    crafting_mode="train",
)
WATCH = Validation(held_out=0.2, select="robust", probe_epsilon=0.05, probe_steps=2, probe_samples=20)
PLAIN = Optimization(epochs=4, batch_size=16, learning_rate=0.02)


@pytest.fixture(scope="module")
def digits():
    """A hundred digits: 7 batches of 14 or 15, or 5 or 6 where a fifth is held out."""
    return builtin("digits", "train").select(0, 100)


def model():
    """A net with all that has a state: convolutions, batch normalisation, dropout."""
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 10)
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    return Classifier(SIGNATURE, network, (8, 8)).to(memory_format=torch.channels_last)


class Ear(NullMonitor):
    """Counts ticks, keeps figures, and interrupts after `left` ticks."""

    def __init__(self, left=10**9):
        self.left, self.ticks, self.figures = left, 0, []

    def tick(self, fraction, message=""):
        assert 0 <= fraction <= 1
        self.ticks += 1
        if self.ticks > self.left:
            raise Interrupted

    def metric(self, name, value, step):
        self.figures.append((name, value, step))


def outcome(result):
    """All that a training gives, as something to compare."""
    return save(result.model), result.history, result.probes, result.selected


class Astray(StandardTraining):
    """Standard training until the middle; then it unlearns, as long as nobody has gone back."""

    def loss(self, model, x, y, step):
        sign = -1.0 if step.progress >= 0.5 and step.rollbacks < self.backs else 1.0
        return sign * super().loss(model, x, y, step)

    backs = 1


class Incurable(Astray):
    """It unlearns however often one goes back."""

    backs = 100


@pytest.mark.parametrize("name", DEFENSES)
def test_cut_off_at_any_moment_it_ends_as_if_it_had_been_left_alone(digits, name):
    """Averaged, shifted, mirrored, clipped, selected: same weights, losses and probes wherever it was cut off."""
    defense, ear = DEFENSES[name], Ear()
    alone = outcome(train(model(), digits, defense, FULL, seed=5, validation=WATCH, monitor=ear))
    for cuts, every_s in (((ear.ticks // 3,), 0), ((ear.ticks - 2,), 1e9), ((5, ear.ticks // 2, 3), 0)):
        saved = [None]
        for cut in cuts:
            with pytest.raises(Interrupted):
                train(
                    model(),
                    digits,
                    defense,
                    FULL,
                    seed=5,
                    validation=WATCH,
                    monitor=Ear(cut),
                    resume=saved[-1],
                    save=saved.append,
                    checkpoint_every_s=every_s,
                )
        assert outcome(train(model(), digits, defense, FULL, seed=5, validation=WATCH, resume=saved[-1])) == alone


def test_a_roll_back_survives_being_cut_off(digits):
    """Wherever: before the trip, in the epoch of it, after it; with the weights to go back to in the checkpoint."""
    how = Optimization(epochs=6, batch_size=16, learning_rate=0.02, average_decay=0.5)
    watch = Validation(probe_steps=1, probe_epsilon=0.01, probe_samples=50, overfitting_drop=0.1)
    saved = []
    alone = outcome(train(model(), digits, Astray(), how, seed=1, validation=watch, save=saved.append))
    assert any(probe.rolled_back for probe in alone[2])
    assert len(saved) == 6
    for checkpoint in saved:
        assert outcome(train(model(), digits, Astray(), how, seed=1, validation=watch, resume=checkpoint)) == alone
    assert any(name.startswith("steady/average/") for name in safetensors.torch.load(saved[0]))


def test_a_training_that_goes_astray_goes_back_and_goes_on(digits):
    """It ends far better than one that nobody watched, and tells the defense that it went back."""
    how = Optimization(epochs=8, batch_size=16, learning_rate=0.02, schedule="constant")
    watch = Validation(probe_steps=1, probe_epsilon=0.01, probe_samples=100, overfitting_drop=0.2)
    watched = train(model(), digits, Astray(), how, seed=1, validation=watch)
    unwatched = train(model(), digits, Astray(), how, seed=1)
    accuracy = [
        (result.model(digits.pixels(slice(None))).argmax(1) == digits.y).float().mean()
        for result in (watched, unwatched)
    ]
    (tripped,) = [probe.epoch for probe in watched.probes if probe.rolled_back]
    assert tripped > 4
    assert accuracy[0] > 0.9
    assert accuracy[1] < 0.2
    assert len(watched.history) == 8


def test_a_training_that_can_not_be_saved_ends_with_the_best_that_it_had(digits):
    """After three roll-backs the next trip ends it."""
    how = Optimization(epochs=20, batch_size=16, learning_rate=0.02, schedule="constant")
    watch = Validation(probe_steps=1, probe_epsilon=0.01, probe_samples=100, overfitting_drop=0.2)
    saved = []
    result = train(model(), digits, Incurable(), how, seed=1, validation=watch, save=saved.append)
    tripped = [probe.epoch for probe in result.probes if probe.rolled_back]
    assert len(tripped) == MOST_ROLLBACKS + 1
    assert len(result.history) == tripped[-1] < 20
    best = max(probe.probe_clean for probe in result.probes)
    again = (result.model(digits.pixels(slice(None))).argmax(1) == digits.y).float().mean()
    assert again == pytest.approx(best)
    resumed = train(model(), digits, Incurable(), how, seed=1, validation=watch, resume=saved[-1])
    assert outcome(resumed) == outcome(result)


def test_the_selected_epoch_is_the_best_on_what_was_held_out(digits):
    """Its figures are those of the result, and no other epoch's are better."""
    for select, field in (("robust", "held_out_robust"), ("clean", "held_out_clean")):
        watch = Validation(held_out=0.3, select=select, probe_epsilon=0.05, probe_steps=2)
        saved = []
        result = train(model(), digits, PGD, PLAIN, seed=3, validation=watch, save=saved.append)
        shares = {probe.epoch: getattr(probe, field) for probe in result.probes}
        assert sorted(shares) == [1, 2, 3, 4]
        assert shares[result.selected] == max(shares.values())
        after = safetensors.torch.load(saved[result.selected - 1])
        assert torch.equal(after["network/0.weight"], result.model.network[0].weight)


def test_probes_are_heard(digits):
    """Every figure of every probed epoch, by its name; without held-out samples those of learned ones only."""
    ear = Ear()
    watch = Validation(held_out=0.2, probe_epsilon=0.05, probe_steps=1, probe_every=3)
    result = train(model(), digits, PGD, PLAIN, seed=3, validation=watch, monitor=ear)
    assert [probe.epoch for probe in result.probes] == [3, 4]
    last = result.probes[-1]
    names = ("held_out_clean", "held_out_robust", "probe_clean", "probe_robust")
    assert [figure for figure in ear.figures if figure[0] != "loss"][-4:] == [
        (name, getattr(last, name), 4) for name in names
    ]
    alone = Ear()
    train(
        model(), digits, PGD, PLAIN, seed=3, validation=Validation(overfitting_drop=0.5, probe_steps=1), monitor=alone
    )
    assert {name for name, _, _ in alone.figures} == {"loss", "probe_clean", "probe_robust"}


def test_only_the_network_that_is_the_result_is_probed(digits):
    """Not a teacher, however many epochs it has."""
    watch = Validation(overfitting_drop=0.9, probe_steps=1)
    result = train(model(), digits, DEFENSES["distillation"], PLAIN, seed=3, validation=watch)
    assert len(result.history) == 1 + 1 + 1 + 4
    assert [probe.epoch for probe in result.probes] == [3, 4, 5, 6, 7]


def test_looking_changes_nothing(digits):
    """Probes of samples that are learned from leave the weights as they are without."""
    watch = Validation(overfitting_drop=1.0, probe_steps=2)
    watched = train(model(), digits, PGD, PLAIN, seed=3, validation=watch)
    assert save(watched.model) == save(train(model(), digits, PGD, PLAIN, seed=3).model)
    assert len(watched.probes) == 4


def test_selection_needs_samples_to_judge_on(digits):
    with pytest.raises(Rejected) as caught:
        train(model(), digits, PGD, PLAIN, seed=3, validation=Validation(select="robust"))
    assert caught.value.reason == "NOTHING_HELD_OUT"
