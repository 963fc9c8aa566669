"""Checkpoints: a training that was cut off and resumed ends as one that was left alone, byte for byte."""

from __future__ import annotations

from dataclasses import replace

import pytest
import safetensors.torch
import torch
from torch import nn

from workers.data import builtin
from workers.defenses import (
    DEFENSES,
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
from workers.engine.monitor import NullMonitor
from workers.engine.train import Optimization, train
from workers.failures import Interrupted, Rejected
from workers.models import Classifier, Signature, build, save

torch.set_num_threads(1)

EVERY = {
    "standard": StandardTraining(),
    "fgsm_adversarial": FgsmAdversarialTraining(epsilon=0.1, alpha=0.5, attack_label="predicted"),
    "pgd_adversarial": PgdAdversarialTraining(epsilon=0.1, steps=2, step_size=0.1, epsilon_ramp=0.5),
    "distillation": DefensiveDistillation(temperature=10.0, teacher_epochs=1),
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
        radius=0.5, xi=1e-3, power_iterations=1, weight=1.0, entropy=True, labelled=20, labelled_batch=8
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
ADAM = Optimization(epochs=3, batch_size=16, learning_rate=0.01, weight_decay=0.01)
SGD = Optimization(epochs=3, batch_size=16, learning_rate=0.1, optimizer="sgd", schedule="constant")
SIGNATURE = Signature("wong_cnn", (1, 8, 8), 10)


class CutOff(NullMonitor):
    """Interrupts at tick number `at`."""

    def __init__(self, at):
        self.left = at

    def tick(self, fraction, message=""):
        self.left -= 1
        if self.left < 0:
            raise Interrupted


@pytest.fixture(scope="module")
def digits():
    """Fifty digits, four batches."""
    return builtin("digits", "train").select(0, 50)


def network(outputs):
    """A net with all that has a state: convolutions, batch normalisation, dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, outputs)
    )


def model(std=0.1, component=None):
    """Such a net with what a defense wants around it, its weights the same for the same `std`."""
    whole = network(10) if component is None else component.around(network, (1, 8, 8), 10)
    for parameter in whole.parameters():
        nn.init.normal_(parameter, std=std, generator=torch.Generator().manual_seed(parameter.numel()))
    signature = replace(SIGNATURE, component=component)
    return Classifier(signature, whole, (8, 8)).to(memory_format=torch.channels_last)


def resumed(digits, defense, optimization, cuts, *, every_s):
    """Train, interrupted after each of `cuts` ticks and resumed from the last checkpoint; the weights and losses."""
    saved = [None]
    for cut in cuts:
        with pytest.raises(Interrupted):
            train(
                model(component=defense.component()),
                digits,
                defense,
                optimization,
                seed=5,
                monitor=CutOff(cut),
                resume=saved[-1],
                save=saved.append,
                checkpoint_every_s=every_s,
            )
    result = train(model(component=defense.component()), digits, defense, optimization, seed=5, resume=saved[-1])
    return save(result.model), result.history


@pytest.mark.parametrize("optimization", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("name", DEFENSES)
def test_trap_09_cut_off_within_an_epoch(digits, name, optimization):
    """A checkpoint after every step; cut off at any of the first ticks, and thrice in one training."""
    alone = train(model(component=EVERY[name].component()), digits, EVERY[name], optimization, seed=5)
    expected = save(alone.model), alone.history
    for cuts in ([1], [7], [3, 4, 3]):
        assert resumed(digits, EVERY[name], optimization, cuts, every_s=0) == expected


@pytest.mark.parametrize("cut", [5, 9, 13, 23])
def test_cut_off_in_every_phase_of_distillation(digits, cut):
    """In the teacher's first epoch at T, at the student's start, in its first epoch at T, in its last."""
    alone = train(model(), digits, EVERY["distillation"], ADAM, seed=5)
    for every_s in (0, 1e9):
        weights = resumed(digits, EVERY["distillation"], ADAM, [cut], every_s=every_s)
        assert weights == (save(alone.model), alone.history)


def test_a_checkpoint_after_each_epoch_and_when_time_is_up(digits):
    """With no time limit in sight one per epoch; with none to wait for, one per step."""
    for every_s, expected in ((1e9, 3), (0, 12)):
        saved = []
        train(model(), digits, StandardTraining(), ADAM, seed=0, save=saved.append, checkpoint_every_s=every_s)
        assert len(saved) == expected


def test_a_finished_training_is_resumed_at_its_end(digits):
    """The last checkpoint holds the result; no step is done again."""
    saved = []
    alone = train(model(), digits, EVERY["distillation"], ADAM, seed=0, save=saved.append)
    again = train(model(), digits, EVERY["distillation"], ADAM, seed=0, monitor=CutOff(0), resume=saved[-1])
    assert (save(again.model), again.history) == (save(alone.model), alone.history)


def test_checkpoints_are_plain_tensors_and_equal_for_equal_trainings(digits):
    """A safetensors file, and the same bytes from the same training."""
    runs = []
    for _ in range(2):
        saved = []
        train(model(), digits, StandardTraining(), ADAM, seed=0, save=saved.append)
        runs.append(saved)
    assert runs[0] == runs[1]
    tensors = safetensors.torch.load(runs[0][-1])
    assert {"network/0.weight", "optimizer/0/exp_avg", "optimizer/0/step", "total"} <= set(tensors)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"defense": EVERY["fgsm_adversarial"]},
        {"optimization": SGD},
        {"count": 49},
        {"std": 0.2},
    ],
)
def test_a_checkpoint_of_another_training(digits, change):
    """Another seed, defense, optimisation, number of samples or initial weights: refused, rather than mixed."""
    saved = []
    train(model(), digits, StandardTraining(), ADAM, seed=0, save=saved.append)
    given = {"seed": 0, "defense": StandardTraining(), "optimization": ADAM, "count": 50, "std": 0.1} | change
    data = digits.select(0, given["count"])
    with pytest.raises(Rejected) as caught:
        train(model(given["std"]), data, given["defense"], given["optimization"], seed=given["seed"], resume=saved[0])
    assert caught.value.reason == "CHECKPOINT_DOES_NOT_FIT"


def test_bytes_that_are_no_checkpoint(digits):
    """Weights, or half a checkpoint, can't be resumed from."""
    saved = []
    train(model(), digits, StandardTraining(), ADAM, seed=0, save=saved.append)
    for data in (b"", save(build(SIGNATURE, seed=0)), saved[0][:-5]):
        with pytest.raises(Rejected) as caught:
            train(model(), digits, StandardTraining(), ADAM, seed=0, resume=data)
        assert caught.value.reason == "MALFORMED_CHECKPOINT"
