"""HopSkipJump: the estimate of the gradient from labels, the jump, and the growing number of evaluations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks.hop_skip_jump import _directions, _estimate, _jump
from workers.engine.attack import AttackPlan, run_attack
from workers.goals import Untargeted
from workers.probing import Purse
from workers.threats import BALLS

W = torch.randn(64, generator=torch.Generator().manual_seed(1))
ROUNDS = {"l2": 9, "linf": 12}  # of 64 values: log2(64^1.5), log2(64^2)


class HalfSpace(nn.Module):
    """Class 1 beyond a plane through grey; notes how many points it is asked about at once."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale, self.counts = scale, []

    def forward(self, x):
        self.counts.append(len(x))
        z = self.scale * (x.flatten(1) - 0.5) @ W
        return torch.stack([torch.zeros_like(z), z], dim=1)


def generators(count):
    return [torch.Generator().manual_seed(i) for i in range(count)]


def purse(model, x, queries=10**6):
    return Purse(model, Untargeted(torch.zeros(len(x), dtype=torch.int64)), x, queries)


def estimate(model, x, evaluations, norm="l2", *, queries=10**6, reserve=0, delta=0.05):
    rows, own = torch.arange(len(x)), purse(model, x, queries)
    v = _estimate(
        own,
        x,
        rows,
        evaluations,
        torch.full((len(x),), delta),
        reserve=reserve,
        generator=generators(len(x)),
        ball=BALLS[norm](1.0),
    )
    return v, own


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_directions_have_length_one_and_are_each_samples_own(norm):
    """Gaussian or uniform before they are normalised."""
    x = torch.zeros(3, 1, 8, 8)
    u = _directions(x, 200, generators(3), BALLS[norm](1.0))
    assert u.shape == (3, 200, 1, 8, 8)
    assert torch.allclose(u.flatten(2).norm(dim=2), torch.ones(3, 200), atol=1e-5)
    assert u.mean().abs() < 5e-3
    kurtosis = (u.pow(4).mean() / u.square().mean() ** 2).item()
    assert kurtosis == pytest.approx(1.8 if norm == "linf" else 3 * 64 / 66, abs=0.1)
    assert not torch.equal(u[0], u[1])


def test_labels_at_the_boundary_tell_the_gradient():
    """At a point of the plane, from 1,000 labels: the more, the nearer to the normal."""
    x = torch.full((4, 1, 8, 8), 0.5)
    cosines = []
    for evaluations in (100, 1000):
        v, own = estimate(HalfSpace(), x, evaluations)
        cosines.append(torch.nn.functional.cosine_similarity(v.flatten(1), W.unsqueeze(0)).mean())
        assert (own.left == 10**6 - evaluations).all()
    assert cosines[0] > 0.6
    assert cosines[1] > 0.9


@pytest.mark.parametrize("side", [1, -1])
def test_where_all_labels_agree_the_mean_direction_is_taken(side):
    """Eq. 16 without its baseline: towards the goal where all reach it, away from where none does."""
    x = torch.full((2, 64), 0.5) + 0.2 * side * W.sign()
    v, _ = estimate(HalfSpace(), x, 50, delta=0.01)
    u = _directions(x, 50, generators(2), BALLS["l2"](1.0)).sum(dim=1)
    assert torch.allclose(v, side * u, atol=1e-3)


def test_the_baseline_makes_the_estimate_better_off_the_boundary():
    """Where 9 of 10 labels agree, the plain mean is mostly the mean of the directions."""
    x = torch.full((6, 64), 0.5) + 0.05 * 0.16 * W / W.norm()
    v, _ = estimate(HalfSpace(), x, 300)
    u = _directions(x, 300, generators(6), BALLS["l2"](1.0))
    reached = HalfSpace()((x.unsqueeze(1) + 0.05 * u).flatten(0, 1)).argmax(dim=1).view(6, 300, 1)
    assert 0.8 < reached.float().mean() < 0.95
    plain = ((2 * reached - 1) * u).sum(dim=1)
    with_it, without = (torch.nn.functional.cosine_similarity(way, W.unsqueeze(0)).mean() for way in (v, plain))
    assert with_it > without + 0.1


def test_the_reserve_is_kept_and_the_rest_is_spent():
    """With 100 queries left and 30 of them set aside, 70 labels must do."""
    x = torch.full((3, 64), 0.5)
    v, own = estimate(HalfSpace(), x, 1000, queries=100, reserve=30)
    assert (own.left == 30).all()
    assert torch.nn.functional.cosine_similarity(v, W.unsqueeze(0)).min() > 0.4


def test_the_jump_is_halved_until_it_lands_at_the_goal():
    """The goal here is a slab: from 0.1 beyond the plane, a step of 1 leads out of it, one of 1/4 does not."""

    class Slab(nn.Module):
        def forward(self, x):
            s = (x - 0.5) @ W / W.norm()
            z = 0.2 - (s - 0.2).abs()
            return torch.stack([-z, z], dim=1)

    x = (0.5 + 0.1 * W / W.norm()).repeat(2, 1)
    v = (W / W.norm()).repeat(2, 1)
    own = purse(Slab(), x)
    y, moved = _jump(own, x, v, torch.tensor([1.0, 0.2]), torch.arange(2), reserve=10)
    assert torch.allclose((y - x).norm(dim=1), torch.tensor([0.25, 0.2]), atol=1e-4)
    assert moved.tolist() == [0, 1]
    assert (10**6 - own.left).tolist() == [3, 1]
    poor = purse(Slab(), x, 12)
    y, moved = _jump(poor, x, v, torch.tensor([1.0, 0.2]), torch.arange(2), reserve=10)
    assert moved.tolist() == [1]
    assert torch.equal(y[0], x[0])
    assert poor.left.tolist() == [10, 11]


@pytest.mark.parametrize(("norm", "most"), [("l2", 10_000), ("linf", 10_000), ("l2", 60)])
def test_evaluations_grow_with_the_root_of_the_iteration_up_to_their_bound(norm, most):
    """50, 70, 86, 100, ... of one sample, each time with one search to the boundary of log2(1 / theta) labels."""
    model = HalfSpace()
    x = (0.5 - 0.03 * W.sign()).view(1, 64)
    parameters = {"queries": 700, "initial_evaluations": 50, "max_evaluations": most, "gamma": 1.0}
    plan = AttackPlan(name="hop_skip_jump", norm=norm, epsilon=1.0 if norm == "linf" else 1000.0, parameters=parameters)
    result = run_attack(
        model, x, torch.zeros(1, dtype=torch.int64), plan, sample_ids=torch.arange(1), seed=1, batch_size=10_000
    )
    assert result.success.all()
    estimates = [n for n in model.counts if n > 1]
    expected = [min(int(50 * n**0.5), most) for n in range(1, 30)]
    assert estimates[:4] == expected[:4]
    assert estimates[:-1] == expected[: len(estimates) - 1]  # the last one is as large as what is left allows
    first = model.counts.index(50)
    assert first >= 1 + 1 + ROUNDS[norm]  # the clean pass, the start, the first search
    second = model.counts.index(expected[1], first + 1)
    assert second - first - 1 >= 1 + ROUNDS[norm]


def test_gamma_sets_how_fine_the_search_for_the_boundary_is():
    """theta = gamma / D^1.5: a hundred times coarser is six or seven labels fewer."""
    counts = []
    for gamma in (1.0, 100.0):
        model = HalfSpace()
        x = (0.5 - 0.03 * W.sign()).view(1, 64)
        parameters = {"queries": 90, "initial_evaluations": 50, "max_evaluations": 50, "gamma": gamma}
        plan = AttackPlan(name="hop_skip_jump", norm="l2", epsilon=1000.0, parameters=parameters)
        y = torch.zeros(1, dtype=torch.int64)
        run_attack(model, x, y, plan, sample_ids=torch.arange(1), seed=1, batch_size=100)
        counts.append(model.counts.index(50))
    assert counts[0] - counts[1] == 9 - 3
