"""The whole simulated photograph, and what it makes of adversarial examples."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

from workers.failures import Rejected
from workers.photo import Strengths, destruction, draw_shots, photograph, right_within

NONE = Strengths(**{field.name: 0 for field in fields(Strengths)} | {"jpeg_quality": 100})


def streams(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture
def x():
    return torch.rand(4, 3, 16, 20, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("channels", [1, 3])
def test_results_are_pictures_with_gradients(x, channels):
    """In [0, 1], of the same shape, differentiable."""
    x = x[:, :channels].requires_grad_()
    taken = photograph(x, draw_shots(Strengths(), x, streams(1, 2, 3, 4)))
    (gradient,) = torch.autograd.grad(taken.sum(), x)
    assert taken.shape == x.shape
    assert taken.min() >= 0
    assert taken.max() <= 1
    assert gradient.isfinite().all()
    assert (gradient.flatten(1).norm(dim=1) > 0).all()


def test_a_samples_photograph_is_its_own(x):
    """It depends on the sample's stream, not on the batch that it is in, and differs from draw to draw."""
    together = photograph(x, draw_shots(Strengths(), x, streams(1, 2, 3, 4)))
    alone = photograph(x[2:3], draw_shots(Strengths(), x[2:3], streams(3)))
    assert torch.allclose(together[2:3], alone, atol=1 / 255 + 1e-6)  # a rounding of the JPEG may tip over
    assert (together[2:3] - alone).abs().mean() < 1e-4
    stream = streams(3)
    first, second = (photograph(x[2:3], draw_shots(Strengths(), x[2:3], stream)) for _ in range(2))
    assert torch.equal(first, alone)
    assert not torch.allclose(first, second, atol=0.02)


def test_without_any_strength_nothing_happens(x):
    """All numbers 0, no compression."""
    assert torch.allclose(photograph(x, draw_shots(NONE, x, streams(1, 2, 3, 4))), x, atol=1e-5)


@pytest.mark.parametrize("name", [field.name for field in fields(Strengths)])
def test_every_strength_does_something_by_itself(x, name):
    """Each one alone changes every picture."""
    strength = {"jpeg_quality": 20, "blur": 4}.get(name, 0.4)
    strengths = Strengths(**{**vars(NONE), name: strength})
    taken = photograph(x, draw_shots(strengths, x, streams(1, 2, 3, 4)))
    assert ((taken - x).abs().flatten(1).amax(dim=1) > 1e-4).all()


def test_only_pictures_can_be_photographed():
    """Rows of numbers have no lens."""
    with pytest.raises(Rejected, match="photographed"):
        draw_shots(Strengths(), torch.rand(2, 5), streams(1, 2))


def test_the_destruction_rate_counts_those_that_were_right_were_fooled_and_are_right_again():
    """Kurakin's d: of five pictures two count, and one of these comes back."""
    clean = torch.tensor([True, True, True, False, False])
    adversarial = torch.tensor([False, False, True, False, True])
    transformed = torch.tensor([True, False, True, True, True])
    assert destruction(clean, adversarial, transformed) == (1, 2)
    assert destruction(clean, adversarial, transformed).rate == 0.5
    assert math.isnan(destruction(clean, clean, clean).rate)


def test_right_within_some_guesses():
    """The label's rank decides."""
    logits = torch.tensor([[0.0, 3, 2, 1], [3, 0, 1, 2]])
    label = torch.tensor([3, 0])
    assert [right_within(logits, label, guesses).tolist() for guesses in (1, 2, 3)] == [
        [False, True],
        [False, True],
        [True, True],
    ]
