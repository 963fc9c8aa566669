"""Attacks in expectation over simulated photographs."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from workers.attacks.bim import bim
from workers.attacks.eot_pgd import eot_pgd
from workers.failures import Rejected
from workers.goals import Targeted, Untargeted
from workers.photo import Strengths, draw_shots, photograph
from workers.threats import L2, Linf

NONE = {"perspective": 0, "crop": 0, "blur": 0, "jpeg_quality": 100, "noise": 0, "brightness": 0, "contrast": 0}
BLURRED = {**NONE, "blur": 3.0, "noise": 0.05}


class TwoClasses(nn.Module):
    """z = (0, w.x): the slope is w everywhere, most of it in single pixels, which a lens can't show."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        wave = torch.sin(torch.arange(16) / 3).expand(1, 16, 16)
        self.w = torch.randn(1, 16, 16, generator=generator) + 0.5 * wave

    def forward(self, x):
        z = ((x - 0.5) * self.w).flatten(1).sum(dim=1)
        return torch.stack([torch.zeros_like(z), z], dim=1)


@pytest.fixture
def x():
    return 0.4 + 0.2 * torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(2))


def streams(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def attack(x, goal, ball, strengths, *, seeds=(1, 2, 3), steps=5, samples=4, model=None):
    return eot_pgd(
        TwoClasses() if model is None else model,
        x,
        goal,
        ball,
        steps=steps,
        step_size=2.5 * ball.epsilon / steps,
        samples=samples,
        **strengths,
        generator=streams(*seeds),
    )


def seen(x, strengths, draws=50):
    """The mean score of class 1 over photographs that no attack has met."""
    generators = streams(*range(100, 100 + len(x)))
    shots = [draw_shots(Strengths(**strengths, gamma=0), x, generators) for _ in range(draws)]
    return torch.stack([TwoClasses()(photograph(x, shot))[:, 1] for shot in shots]).mean(dim=0)


@pytest.mark.parametrize("ball", [Linf(0.05), L2(0.8)])
@pytest.mark.parametrize(
    "goal", [Untargeted(torch.zeros(3, dtype=torch.int64)), Targeted(torch.ones(3, dtype=torch.int64))]
)
def test_without_a_camera_it_is_bim(x, ball, goal):
    """All strengths 0: every draw is the picture itself, and the mean gradient its own."""
    plain = bim(TwoClasses(), x, goal, ball, steps=5, step_size=ball.epsilon / 2)
    assert torch.allclose(attack(x, goal, ball, NONE), plain, atol=1e-5)


@pytest.mark.parametrize("targeted", [False, True])
def test_it_survives_the_camera_better_than_bim(x, targeted):
    """Through a lens that shows no single pixels: less steep on the picture itself, steeper on photographs of it."""
    goal = Targeted(torch.ones(3, dtype=torch.int64)) if targeted else Untargeted(torch.zeros(3, dtype=torch.int64))
    ball, model = Linf(0.05), TwoClasses()
    plain = bim(model, x, goal, ball, steps=5, step_size=0.025)
    through = attack(x, goal, ball, BLURRED, steps=10)
    before = seen(x, BLURRED)
    gained, gained_by_bim = seen(through, BLURRED) - before, seen(plain, BLURRED) - before
    assert (gained > gained_by_bim).all()
    assert gained.mean() > 1.1 * gained_by_bim.mean()
    assert (model(through)[:, 1] < model(plain)[:, 1]).all()


@pytest.mark.parametrize("ball", [Linf(0.03), L2(0.5)])
def test_results_are_in_ball_and_box_and_each_samples_own(x, ball):
    """A sample's result depends on its own stream, not on its batch."""
    strengths = {**vars(Strengths())}
    del strengths["gamma"]
    goal = Untargeted(torch.zeros(3, dtype=torch.int64))
    together = attack(x, goal, ball, strengths, steps=3)
    alone = attack(x[1:2], goal.select(torch.tensor([1])), ball, strengths, seeds=(2,), steps=3)
    assert (ball.distance(together, x) <= ball.epsilon + 1e-6).all()
    assert together.min() >= 0
    assert together.max() <= 1
    assert not together.requires_grad
    assert torch.allclose(together[1:2], alone, atol=1e-5)


class Spy(Untargeted):
    """Notes at which points the gradient is asked for, and whether they may count."""

    def gradient(self, model, x, rows=None, *, candidates=True):
        self.__dict__.setdefault("asked", []).append((x, candidates))
        return super().gradient(model, x, rows, candidates=candidates)


def test_every_step_asks_for_its_samples_at_one_point_and_offers_no_candidate(x):
    """Steps times samples gradients; what fools the model unphotographed is not what is looked for."""
    goal = Spy(torch.zeros(3, dtype=torch.int64))
    attack(x, goal, Linf(0.05), BLURRED, steps=3, samples=4)
    points, candidates = zip(*goal.asked, strict=True)
    same = [torch.equal(one, other) for one, other in itertools.pairwise(points)]
    assert not any(candidates)
    assert same == [*[True] * 3, False, *[True] * 3, False, *[True] * 3]


def test_only_pictures_can_be_photographed():
    """Rows of numbers are refused."""
    flat = torch.rand(3, 16)
    with pytest.raises(Rejected, match="photographed"):
        attack(flat, Untargeted(torch.zeros(3, dtype=torch.int64)), Linf(0.1), NONE, model=nn.Linear(16, 2))
