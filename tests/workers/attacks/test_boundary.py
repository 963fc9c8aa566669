"""The boundary attack: its steps, how their lengths are adapted, and where it begins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks.boundary import _proposed, _Steps
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.goals import Targeted, Untargeted
from workers.probing import TRIES, Purse, start, to_boundary, towards
from workers.threats import BALLS


def generators(count):
    return [torch.Generator().manual_seed(i) for i in range(count)]


class HalfSpace(nn.Module):
    """Class 1 where the mean is above a bound."""

    def __init__(self, bound):
        super().__init__()
        self.bound = bound

    def forward(self, x):
        z = x.flatten(1).mean(dim=1) - self.bound
        return torch.stack([-z, z], dim=1)


def test_a_step_stays_on_the_sphere_and_then_comes_nearer():
    """o is as far from x as x_n is, spherical_step of it away; c is nearer by source_step, on the way to x."""
    x = torch.full((4, 1, 8, 8), 0.5)
    x_n = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    u = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    o, c = _proposed(x_n, x, u, _Steps(x, 0.1, 0.02, 1.5), torch.arange(4))
    d = (x_n - x).flatten(1).norm(dim=1)
    assert torch.allclose((o - x).flatten(1).norm(dim=1), d, rtol=1e-4)
    assert torch.allclose((o - x_n).flatten(1).norm(dim=1), 0.1 * d, rtol=1e-2)
    assert torch.allclose((c - x).flatten(1).norm(dim=1), 0.98 * d, rtol=1e-4)
    assert torch.allclose(c - x, 0.98 * (o - x), atol=1e-6)


def test_a_step_that_the_box_clips_is_no_longer_than_it_should_be():
    """c is never further than (1 - source_step) d, and inside the box."""
    x = torch.rand(6, 64, generator=torch.Generator().manual_seed(0)).round()
    x_n = torch.rand(6, 64, generator=torch.Generator().manual_seed(1))
    u = torch.randn(6, 64, generator=torch.Generator().manual_seed(2))
    o, c = _proposed(x_n, x, u, _Steps(x, 1.0, 0.02, 1.5), torch.arange(6))
    d = (x_n - x).norm(dim=1)
    assert ((c - x).norm(dim=1) <= 0.98 * d + 1e-5).all()
    for point in (o, c):
        assert point.min() >= 0
        assert point.max() <= 1


@pytest.mark.parametrize(
    ("on", "nearer", "spherical", "source"),
    [
        (20, 20, 1.5, 2.25),
        (20, 0, 1.5, 1.0),
        (8, 8, 1.0, 1.5),
        (8, 1, 1.0, 1.0),
        (8, 0, 1.0, 1 / 1.5),
        (2, 1, 1 / 1.5, 1.0),
        (0, 0, 1 / 1.5, 1 / 1.5),
    ],
)
def test_lengths_are_adapted_to_how_often_they_led_to_the_goal(on, nearer, spherical, source):
    """Of 20 steps: above half along the sphere, or above a quarter of the nearer ones, longer; below a fifth, a tenth,
    shorter; each sample's own."""
    steps, rows = _Steps(torch.zeros(3, 4), 0.01, 0.01, 1.5), torch.tensor([0, 2])
    for n in range(20):
        steps.count(torch.tensor([n < on, n < 8]), rows)
    for n in range(on):
        steps.count_nearer(torch.tensor([n < nearer]), rows[:1])
    steps.adapt()
    assert steps.spherical[0].item() == pytest.approx(0.01 * spherical, rel=1e-4)
    assert steps.source[0].item() == pytest.approx(0.01 * source, rel=1e-4)
    assert steps.spherical[1:].tolist() == pytest.approx([0.01, 0.01])
    assert steps.source[1:].tolist() == pytest.approx([0.01, 0.01 / 1.5])


def test_where_the_sphere_is_the_boundary_only_the_other_length_changes():
    """A step along it as long as can be always leads to the goal: that says nothing of the step towards x."""
    steps, rows = _Steps(torch.zeros(1, 4), 0.9, 0.01, 1.5), torch.tensor([0])
    for _ in range(20):
        steps.count(torch.tensor([True]), rows)
    steps.adapt()
    assert steps.spherical.item() == pytest.approx(0.9)
    assert steps.source.item() == pytest.approx(0.01 / 1.5)


class Outside(nn.Module):
    """Class 1 where the point is further from grey than a radius."""

    def forward(self, x):
        z = (x - 0.5).flatten(1).norm(dim=1) - 0.4
        return torch.stack([-z, z], dim=1)


def attack(model, x, *, queries, goal=GoalSpec(), **changes):  # noqa: B008 frozen
    parameters = {"spherical_step": 0.01, "source_step": 0.01, "step_adaptation": 10.0, "queries": queries, **changes}
    plan = AttackPlan(name="boundary", norm="l2", epsilon=1000.0, parameters=parameters, goal=goal)
    y = torch.zeros(len(x), dtype=torch.int64)
    return run_attack(model, x, y, plan, sample_ids=torch.arange(len(x)), seed=1, batch_size=8)


def test_a_walk_that_can_come_no_nearer_ends_before_its_queries():
    """All of the sphere is as near as can be: the steps towards x shorten until they are nothing."""
    result = attack(Outside(), torch.full((2, 16), 0.5), queries=20000)
    assert result.success.all()
    assert (result.distance <= 0.4 * 1.0001).all()
    assert (result.forwards < 1500).all()


def test_it_starts_at_the_boundary_between_noise_and_the_sample():
    """Before any step of the walk, the bisection alone is within 2^-10 of the way."""
    result = attack(Outside(), torch.full((2, 16), 0.5), queries=12)
    assert result.success.all()
    assert (result.distance <= 0.4 + 2e-3).all()


def test_the_start_without_a_target_keeps_as_much_of_the_picture_as_it_can():
    """The least share of noise that turns a sample is found first; with a target the noise is whole."""
    x = torch.zeros(3, 1, 8, 8)
    model = HalfSpace(0.25)
    for goal, share in (
        (Untargeted(torch.zeros(3, dtype=torch.int64)), 0.7),
        (Targeted(torch.ones(3, dtype=torch.int64)), 1.0),
    ):
        purse = Purse(model, goal, x, 100)
        points, rows = start(purse, x, torch.arange(3), generators(3), targeted=goal.targeted)
        assert rows.tolist() == [0, 1, 2]
        assert model(points).argmax(dim=1).tolist() == [1, 1, 1]
        assert (points.flatten(1).amax(dim=1) <= share).all()
        assert (points.flatten(1).mean(dim=1) < 0.6 * share).all()
    assert (purse.left == 99).all()


def test_the_start_tries_many_kinds_of_noise_and_then_gives_up():
    """Dark and patchy noise too, each sample its own; no more than it may, nor than the queries allow."""

    class Never(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, x):
            self.seen.append(x)
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    model, x = Never(), torch.full((2, 1, 8, 8), 0.5)
    goal = Targeted(torch.ones(2, dtype=torch.int64))
    purse = Purse(model, goal, x, 1000)
    points, rows = start(purse, x, torch.arange(2), generators(2), targeted=True)
    assert len(rows) == 0
    assert torch.equal(points, x)
    assert (purse.left == 1000 - TRIES).all()
    tried = torch.stack(model.seen)  # (TRIES, 2, 1, 8, 8)
    assert not torch.equal(tried[:, 0], tried[:, 1])
    means = tried[:, 0].flatten(1).mean(dim=1)
    assert means.min() < 0.2
    assert means.max() > 0.7
    assert {len(noise.unique()) for noise in tried[:, 0]} == {64, 49, 16}
    short = Purse(model, goal, x, 5)
    start(short, x, torch.arange(2), generators(2), targeted=True)
    assert (short.left == 0).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_bisection_ends_on_the_side_of_the_goal_next_to_the_boundary(norm):
    """In its own norm: along the straight way, or by a box that closes in."""
    ball = BALLS[norm](1.0)
    x, far = torch.zeros(3, 10), torch.linspace(0.4, 1, 30).view(3, 10)
    model = HalfSpace(0.2)
    purse = Purse(model, Untargeted(torch.zeros(3, dtype=torch.int64)), x, 100)
    points = to_boundary(purse, far, x, torch.tensor([0, 2]), ball, rounds=12)
    assert torch.equal(points[1], far[1])
    assert model(points).argmax(dim=1).tolist() == [1, 1, 1]
    assert points[[0, 2]].mean(dim=1).tolist() == pytest.approx([0.2, 0.2], abs=1e-3)
    assert purse.left.tolist() == [88, 100, 88]
    half = towards(far, x, torch.full((3,), 0.5), ball)
    assert torch.allclose(ball.distance(half, x), ball.distance(far, x) / 2)
