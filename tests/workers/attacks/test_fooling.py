"""Fooling images: three ways from nothing to a class that the model is sure of."""

from __future__ import annotations

import pytest
import torch

from workers.attacks.fooling_cppn import fooling_cppn
from workers.attacks.fooling_gradient import fooling_gradient
from workers.attacks.fooling_map_elites import fooling_map_elites
from workers.goals import Targeted
from workers.threats import Linf

RATES = {
    "add_neuron": 0.5,
    "remove_neuron": 0.2,
    "add_connection": 0.5,
    "remove_connection": 0.3,
    "change_connection": 0.5,
    "mutation_rate": 0.1,
    "eta_m": 15.0,
}
ATTACKS = {
    "gradient": (fooling_gradient, {"steps": 40, "learning_rate": 0.02, "decay": 0.01, "from_sample": False}),
    "map_elites": (
        fooling_map_elites,
        {"generations": 60, "offspring": 40, "mutation_rate": 0.1, "eta_m": 15.0},
    ),
    "cppn": (fooling_cppn, {"generations": 60, "offspring": 40, **RATES}),
}
NAMES = list(ATTACKS)


def streams(count, seed=0):
    return [torch.Generator().manual_seed(100 * seed + row) for row in range(count)]


def run(name, model, x, label, *, seed=0, epsilon=1.0, goal=Targeted):
    function, parameters = ATTACKS[name]
    return function(model, x, goal(label), Linf(epsilon), **parameters, generator=streams(len(x), seed))


@pytest.fixture
def model(make_oracle):
    """Four classes, each with two rows of pixels of its own."""
    return make_oracle(1).model


@pytest.fixture
def x():
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


LABEL = torch.tensor([0, 1, 2, 3, 2, 0])


@pytest.mark.parametrize("name", NAMES)
def test_every_class_is_reached_at_a_confidence_of_99_percent(name, model, x):
    """From nothing: pictures in the box, of the shape of the samples."""
    pictures = run(name, model, x, LABEL)
    confidence = model(pictures).softmax(dim=1).gather(1, LABEL.unsqueeze(1))
    assert (confidence > 0.99).all()
    assert pictures.shape == x.shape
    assert not pictures.requires_grad
    assert pictures.min() >= 0
    assert pictures.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_samples_lend_nothing_but_their_shape_and_their_streams(name, model, x):
    """Other samples, same streams: the same pictures; other streams: others."""
    pictures = run(name, model, x, LABEL)
    assert torch.equal(run(name, model, torch.zeros_like(x), LABEL), pictures)
    assert not torch.equal(run(name, model, x, LABEL, seed=1), pictures)


@pytest.mark.parametrize("name", ["map_elites", "cppn"])
def test_rows_of_one_class_get_its_one_champion(name, model, x):
    """The whole batch is one archive."""
    pictures = run(name, model, x, LABEL)
    assert torch.equal(pictures[0], pictures[5])
    assert torch.equal(pictures[2], pictures[4])
    assert not torch.equal(pictures[0], pictures[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_smaller_ball_around_the_samples_is_kept(name, model, x):
    """Epsilon 0.1: no pixel is further from its sample."""
    assert Linf(0.1).distance(run(name, model, x, LABEL, epsilon=0.1), x).max() <= 0.1 + 1e-6


def test_a_picture_that_is_grown_in_two_parts_is_the_one_that_is_grown_at_once(model, x):
    """15 steps from noise and 25 more from what they left, bit for bit the 40."""
    whole = run("gradient", model, x, LABEL)
    rest = ATTACKS["gradient"][1] | {"steps": 25, "from_sample": True}
    first = rest | {"steps": 15, "from_sample": False}
    for parameters in (first, rest):
        x = fooling_gradient(model, x, Targeted(LABEL), Linf(1.0), **parameters, generator=streams(len(x)))
    assert torch.equal(x, whole)


class Spy(Targeted):
    """Notes whether the points that are asked about may count, and how many there are in a call."""

    def _note(self, x, candidates):
        self.__dict__.setdefault("asked", []).append((len(x), candidates))

    def gradient(self, model, x, rows=None, *, candidates=True):
        self._note(x, candidates)
        return super().gradient(model, x, rows, candidates=candidates)

    def logits(self, model, x, rows=None, *, candidates=True):
        self._note(x, candidates)
        return super().logits(model, x, rows, candidates=candidates)


@pytest.mark.parametrize(("name", "calls", "points"), [("gradient", 40, 6), ("map_elites", 61, 40), ("cppn", 61, 40)])
def test_what_it_costs_and_that_no_early_picture_counts(name, calls, points, model, x):
    """A gradient a step, or one call a generation and one before; the first picture of a class is not sure of it."""
    goals = []
    run(name, model, x, LABEL, goal=lambda label: goals.append(Spy(label)) or goals[0])
    assert goals[0].asked == [(points, False)] * calls


def test_gradient_ascent_stays_put_where_there_is_no_gradient(x):
    """A model that does not look: grey with its noise, drawn back to grey, and nothing that is not a number."""
    pictures = run("gradient", lambda points: 0 * points.flatten(1)[:, :4], x, LABEL)
    assert torch.allclose(pictures, torch.tensor(0.5), atol=5 / 255)
