"""Which samples are held out, and what follows from what is seen."""

from __future__ import annotations

import pytest
import torch

from workers.data import Dataset
from workers.engine.train_validation import Probe, Validation, best, overfits, probed, split, steadiest
from workers.failures import Rejected

# Sample number i is a picture of i / 255; class 0 has 60 samples, class 1 has 30, class 2 has 3.
Y = torch.tensor([0] * 60 + [1] * 30 + [2] * 3)
DATA = Dataset(torch.arange(93, dtype=torch.uint8).view(93, 1, 1, 1), Y, 4)


def numbers(data):
    """Which samples a dataset has."""
    return data.x.flatten().tolist()


def seen(epoch, robust, *, learned=0.5, clean=0.9, back=False):
    return Probe(
        epoch=epoch,
        held_out_clean=clean,
        held_out_robust=robust,
        probe_clean=0.9,
        probe_robust=learned,
        rolled_back=back,
    )


def test_every_class_gives_the_same_share():
    """Rounded down, so that no class is left without; nothing is lost and nothing is in both."""
    learned, out = split(DATA, Validation(held_out=0.2), seed=4)
    assert torch.bincount(out.y).tolist() == [12, 6]
    assert sorted(numbers(learned) + numbers(out)) == list(range(93))
    assert torch.equal(out.y, Y[torch.tensor(numbers(out))])
    again = split(DATA, Validation(held_out=0.2), seed=4)[1]
    assert numbers(again) == numbers(out)
    assert numbers(split(DATA, Validation(held_out=0.2), seed=5)[1]) != numbers(out)


def test_nothing_is_held_out_unless_asked_for():
    learned, out = split(DATA, Validation(overfitting_drop=0.2), seed=4)
    assert learned is DATA
    assert out is None


def test_too_small_a_share_is_refused():
    with pytest.raises(Rejected) as caught:
        split(DATA, Validation(held_out=0.01), seed=4)
    assert caught.value.reason == "TOO_FEW_SAMPLES"


def test_no_more_samples_are_looked_at_than_asked_for():
    few = probed(DATA, Validation(held_out=0.2, probe_samples=10), seed=4)
    assert len(set(numbers(few))) == 10
    assert len(probed(DATA, Validation(held_out=0.2), seed=4)) == 93


def test_a_fall_is_measured_from_the_best_look_before():
    watch = Validation(overfitting_drop=0.2)
    before = [seen(1, None, learned=0.3), seen(2, None, learned=0.8), seen(3, None, learned=0.7)]
    assert not overfits(watch, before, seen(4, None, learned=0.61))
    assert overfits(watch, before, seen(4, None, learned=0.59))
    assert not overfits(watch, [], seen(1, None, learned=0.0))
    assert not overfits(Validation(held_out=0.1), before, seen(4, None, learned=0.0))


def test_the_best_epoch_is_the_first_of_equals_and_none_that_was_gone_back_from():
    looks = [seen(1, 0.4), seen(2, 0.6, clean=0.8), seen(3, 0.6, clean=0.9), seen(4, 0.6), seen(5, 0.9, back=True)]
    assert best(Validation(select="robust"), looks).epoch == 3
    assert best(Validation(select="clean"), looks).epoch == 3
    assert best(Validation(select="last"), looks) is None
    assert best(Validation(select="robust"), []) is None
    assert steadiest([seen(1, None, learned=0.7), seen(2, None, learned=0.7), seen(3, None, learned=0.1)]).epoch == 1


def test_off_is_off():
    assert not Validation().on
    assert Validation(held_out=0.1).on
    assert Validation(overfitting_drop=0.1).on
