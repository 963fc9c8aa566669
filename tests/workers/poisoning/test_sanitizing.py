"""The two defenders find flipped labels; and what a whole measurement says of a fraction."""

from __future__ import annotations

import pytest
import torch

from workers.engine.monitor import NullMonitor
from workers.failures import Interrupted
from workers.poisoning import POISONS, LabelFlip, loss_sanitizing, measure, trimmed
from workers.poisoning.learner import cross_entropies, hinges
from workers.poisoning.packing import pack, unpack
from workers.poisoning.share import Share, shares

QUIET = NullMonitor()


@pytest.mark.parametrize("sanitizer", [loss_sanitizing, trimmed])
def test_flipped_labels_are_found(sanitizer, train, held_out, softmax) -> None:
    flip = LabelFlip()
    scenario = flip.scenario(train, held_out, seed=1)
    made = flip.craft(scenario, 60, softmax, seed=1, monitor=QUIET)
    found = sanitizer(softmax, made.data, 60, seed=1, monitor=QUIET)
    assert len(found.kept) == 540
    assert found.kept.tolist() == sorted(set(found.kept.tolist()))
    survived = int(torch.isin(made.index, found.kept).sum())
    assert survived < 12


@pytest.mark.parametrize("sanitizer", [loss_sanitizing, trimmed])
def test_with_nothing_to_drop_all_is_as_without(sanitizer, train, softmax) -> None:
    plain = softmax.fit(train, seed=1, monitor=QUIET)
    found = sanitizer(softmax, train, 0, seed=1, monitor=QUIET)
    assert len(found.kept) == len(train)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), found.model.parameters(), strict=True))


def test_the_hinge_of_two_classes_is_that_of_the_machine() -> None:
    f = torch.tensor([2.0, 0.3, -1.5])
    table = hinges(torch.stack([-f / 2, f / 2], dim=1))
    assert torch.allclose(table[:, 1], (1 - f).clamp(min=0))
    assert torch.allclose(table[:, 0], (1 + f).clamp(min=0))


def test_the_hinge_of_many_classes_is_the_margin_to_the_best_other() -> None:
    table = hinges(torch.tensor([[0.0, 2.0, 1.5]]))
    assert table.tolist() == [[3.0, 0.5, 1.5]]


def test_a_class_without_a_chance_costs_no_more_than_the_most() -> None:
    assert cross_entropies(torch.tensor([[0.0, -torch.inf]])).tolist() == [[0.0, 100.0]]


@pytest.mark.parametrize("sanitizer", ["none", "loss", "trimmed"])
def test_a_measurement_says_what_a_fraction_did(sanitizer, train, held_out, softmax) -> None:
    found = measure(LabelFlip(), softmax, train, held_out, 0.3, sanitizer=sanitizer, seed=1, monitor=QUIET)
    clean = measure(LabelFlip(), softmax, train, held_out, 0.0, sanitizer=sanitizer, seed=1, monitor=QUIET)
    assert (found.samples, found.poisoned, found.attempts) == (600, 180, 1)
    assert (clean.poisoned, len(clean.x), len(found.x)) == (0, 0, 8)
    assert (found.plain.judged, found.plain.chances, found.plain.dropped) == (200, 0, 0)
    assert clean.plain.wrong < found.plain.wrong
    assert (found.sanitized is None) == (sanitizer == "none")
    if found.sanitized is not None and clean.sanitized is not None:
        assert found.sanitized.dropped == 180
        assert 90 < found.sanitized.caught <= 180
        assert found.sanitized.wrong < found.plain.wrong
        assert clean.sanitized.wrong == clean.plain.wrong


def test_a_defender_may_drop_what_it_likes(train, held_out, softmax) -> None:
    found = measure(
        LabelFlip(), softmax, train, held_out, 0.1, sanitizer="loss", dropped_fraction=0.05, seed=1, monitor=QUIET
    )
    assert found.sanitized is not None
    assert found.sanitized.dropped == 30


@pytest.mark.parametrize("name", POISONS)
def test_a_measurement_is_the_same_bytes_again(name, train, held_out, softmax, svm) -> None:
    quick = {
        "svm_gradient": {"svm_samples": 20, "svm_validation": 20, "ascent_steps": 2},
        "feature_collision": {"targets": 2, "collision_steps": 5},
    }
    poison = POISONS[name](**quick.get(name, {}))
    learner = svm if name == "svm_gradient" else softmax
    made = [
        pack(measure(poison, learner, train, held_out, 0.05, sanitizer="loss", seed=2**63 + 1, monitor=QUIET))
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert pack(unpack(made[0])) == made[0]


class Impatient(NullMonitor):
    """Stops whoever asks for the nth time; keeps what it was told."""

    def __init__(self, patience: int) -> None:
        self.left, self.told = patience, []

    def tick(self, fraction: float, message: str = "") -> None:
        self.told.append(fraction)
        self.left -= 1
        if self.left == 0:
            raise Interrupted


@pytest.mark.parametrize("name", POISONS)
def test_progress_never_falls_and_whoever_is_stopped_stops(name, train, held_out, softmax, svm) -> None:
    poison = {
        "svm_gradient": lambda: POISONS["svm_gradient"](svm_samples=20, svm_validation=20, ascent_steps=2),
        "feature_collision": lambda: POISONS["feature_collision"](targets=2, collision_steps=5),
    }.get(name, POISONS[name])()
    learner = svm if name == "svm_gradient" else softmax
    patient = Impatient(-1)
    measure(poison, learner, train, held_out, 0.1, sanitizer="trimmed", seed=1, monitor=patient)
    assert patient.told == sorted(patient.told)
    assert 0 <= patient.told[0] <= patient.told[-1] <= 1
    with pytest.raises(Interrupted):
        measure(poison, learner, train, held_out, 0.1, seed=1, monitor=Impatient(3))


def test_shares_follow_each_other() -> None:
    whole = Impatient(-1)
    for part in shares(whole, [1, 3]):
        for fraction in (0.0, 1.0, 0.5):
            part.tick(fraction)
    assert whole.told == [0.0, 0.25, 0.25, 0.25, 1.0, 1.0]
    assert not Share(whole, 0, 1).checkpoint_wanted()
