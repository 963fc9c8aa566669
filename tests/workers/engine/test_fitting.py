"""Fits of what is no neural net: the same bytes, a monitor that is told, and what refitting adds."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from workers.data import Dataset, builtin
from workers.defenses import AdversarialRefit, StandardTraining
from workers.engine import fitting
from workers.engine.fitting import FitOptions, fit_model
from workers.engine.monitor import NullMonitor
from workers.failures import Interrupted, Rejected
from workers.models import Signature, save
from workers.models.classical import FITTED

torch.set_num_threads(1)

QUICK = FitOptions(trees=5, max_depth=8, neighbors=3)
KINDS = (*FITTED, "softmax_regression")


class Listener(NullMonitor):
    """Keeps what it is told, and interrupts at tick number `at`."""

    def __init__(self, at=None):
        self.told, self.at = [], at

    def tick(self, fraction, message=""):
        self.told.append((fraction, message))
        if self.at is not None and len(self.told) > self.at:
            raise Interrupted


@pytest.fixture(scope="module")
def digits():
    """Three hundred digits."""
    return builtin("digits", "train").select(0, 300)


def signature(name, **more):
    return Signature(name, (1, 8, 8), 10, **more)


def fitted(name, digits, defense=None, *, options=QUICK, seed=3, monitor=None, **more):
    return fit_model(
        signature(name, **more),
        digits,
        StandardTraining() if defense is None else defense,
        options,
        seed=seed,
        monitor=NullMonitor() if monitor is None else monitor,
    )


def right(model, data):
    """The share of the samples that it knows."""
    with torch.no_grad():
        return float((model(data.pixels(slice(None))).argmax(dim=1) == data.y).float().mean())


@pytest.mark.parametrize("name", KINDS)
def test_equal_arguments_give_equal_bytes(digits, name):
    """So that a unit done twice commits the same."""
    state = torch.get_rng_state()
    model = fitted(name, digits)
    assert save(model) == save(fitted(name, digits))
    assert right(model, digits) > 0.85
    assert torch.equal(torch.get_rng_state(), state)


def test_another_seed_gives_another_forest(digits):
    """Also a seed beyond 32 bits, of which scikit-learn knows nothing."""
    assert len({save(fitted("random_forest", digits, seed=seed)) for seed in (0, 1, 2**33, 2**64 - 1)}) == 4


@pytest.mark.parametrize("name", KINDS)
def test_the_normalisation_is_the_models_own(digits, name):
    """The model takes pixels in [0, 1]; what is inside was fitted to normalised ones."""
    model = fitted(name, digits, mean=(0.3,), std=(0.5,))
    assert model.signature.mean == (0.3,)
    assert right(model, digits) > 0.85


def test_options_are_those_of_the_fit(digits):
    """Depth, neighbours, the kernel's width."""
    assert fitted("decision_tree", digits, options=FitOptions(max_depth=3)).network.depth == 3
    assert int(fitted("nearest_neighbors", digits, options=FitOptions(neighbors=7)).network.k) == 7
    assert float(fitted("rbf_svm", digits, options=FitOptions(kernel_gamma=0.25)).network.gamma) == 0.25
    own = float(fitted("rbf_svm", digits).network.gamma)
    assert own == pytest.approx(1 / (64 * float(digits.pixels(slice(None)).var(correction=0))))
    assert len(fitted("random_forest", digits).network.roots) == 5


def test_the_monitor_is_told_of_progress_that_never_falls(digits):
    """From 0 to nearly 1, over fits and copies."""
    listener = Listener()
    fitted("random_forest", digits, AdversarialRefit(epsilon=0.3, refits=2, closed_form=False), monitor=listener)
    fractions = [fraction for fraction, _ in listener.told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert 0.9 < fractions[-1] <= 1
    assert {message for _, message in listener.told} == {"fitting a random_forest", "copies against the last fit"}


def test_an_interruption_comes_out_between_two_trees(digits):
    """Not all of them are fitted, and nothing goes on in the background."""
    with pytest.raises(Interrupted):
        fitted("random_forest", digits, monitor=Listener(at=3))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fit")]


def test_a_long_piece_is_ticked_through(digits, monkeypatch):
    """A lease is kept while scikit-learn does not answer."""
    monkeypatch.setattr(fitting, "_TICK_S", 0.01)
    monkeypatch.setitem(fitting._FITS, "decision_tree", lambda *given: given[-1](lambda: time.sleep(0.2)))
    listener = Listener()
    with pytest.raises(AttributeError):  # what slept is no model
        fitted("decision_tree", digits, monitor=listener)
    assert len(listener.told) > 5


def test_every_class_must_have_a_sample(digits):
    """Also the last one, which no label would be missed by."""
    some = digits.y != 9
    with pytest.raises(Rejected) as caught:
        fitted("decision_tree", Dataset(digits.x[some], digits.y[some], 10))
    assert caught.value.reason == "MISSING_CLASS"
    assert "[9]" in caught.value.message


def test_data_of_another_shape_are_refused(digits):
    """Before anything is fitted."""
    with pytest.raises(Rejected) as caught:
        fit_model(Signature("decision_tree", (1, 4, 4), 10), digits, StandardTraining(), QUICK, seed=0)
    assert caught.value.reason == "CLASS_MISMATCH"


@pytest.mark.parametrize("name", KINDS)
def test_a_refit_knows_the_copies_that_it_learned(digits, name):
    """Most of those that fooled the first fit."""
    defense = AdversarialRefit(epsilon=0.2, refits=1, closed_form=False)
    first = fitted(name, digits)
    x, y = defense.copies(first, digits.pixels(slice(None)), digits.y)
    copies = Dataset(x, y, 10)
    again = fitted(name, digits, defense)
    assert right(again, copies) > right(first, copies) + 0.1
    assert save(again) == save(fitted(name, digits, defense))


def test_the_closed_form_needs_no_copies(digits):
    """Machine by machine, also through a normalisation, which stretches the reach of a pixel."""
    defense = AdversarialRefit(epsilon=0.1, refits=1, closed_form=True)
    plain = fitted("linear_svm", digits, defense, options=FitOptions(cost=1.0))
    seen = fitted("linear_svm", digits, defense, options=FitOptions(cost=1.0), std=(0.5,))
    undefended = fitted("linear_svm", digits, options=FitOptions(cost=1.0))
    sizes = [float(model.network[1].weight.detach().abs().sum()) for model in (undefended, plain)]
    assert sizes[1] < 0.7 * sizes[0]
    assert right(plain, digits) > 0.8
    assert right(seen, digits) > 0.8
    # Seen at twice the size, half the weights do; they are guarded against the same pixels.
    assert float(seen.network[1].weight.detach().abs().sum()) < sizes[1]
