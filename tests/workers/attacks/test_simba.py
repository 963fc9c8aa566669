"""SimBA: exact orthonormal directions, each tried forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks.simba import _direction, _shuffled
from workers.engine.attack import AttackPlan, GoalSpec, run_attack

SHAPES = [(9,), (4, 6), (3, 5, 7), (1, 16, 16)]


def run(model, x, y, *, queries=600, step=0.05, basis="pixel", goal="untargeted"):
    parameters = {"queries": queries, "step": step, "basis": basis}
    plan = AttackPlan(name="simba", norm="l2", epsilon=1000.0, parameters=parameters, goal=GoalSpec(kind=goal))
    return run_attack(model, x, y, plan, sample_ids=torch.arange(len(x)), seed=1, batch_size=8)


class Logged(nn.Module):
    """Two classes, linear with weights of 1, far from the boundary, and certain; notes what it is asked."""

    def __init__(self, bias=100.0):
        super().__init__()
        self.bias, self.points = bias, []

    def forward(self, x):
        self.points.append(x.clone())
        z = x.flatten(1).sum(dim=1)
        return torch.stack([z + self.bias, torch.zeros_like(z)], dim=1)


@pytest.mark.parametrize("basis", ["pixel", "dct"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_directions_are_orthonormal_and_span_everything(shape, basis):
    """D of them, whose products with each other are the identity."""
    sample = torch.zeros(shape)
    D = sample.numel()
    Q = _direction(basis, torch.arange(D), sample)
    assert Q.shape == (D, *shape)
    assert torch.allclose(Q.flatten(1) @ Q.flatten(1).T, torch.eye(D), atol=1e-5)


@pytest.mark.parametrize("basis", ["pixel", "dct"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_sample_has_its_own_order_of_all_directions(shape, basis):
    """A permutation each."""
    x = torch.zeros(2, *shape)
    order = _shuffled(basis, x, [torch.Generator().manual_seed(i) for i in range(2)])
    assert torch.equal(order.sort(dim=1).values, torch.arange(x[0].numel()).expand(2, -1))
    assert not torch.equal(order[0], order[1])


def test_low_frequencies_come_first():
    """16 x 16: the four of an eighth of each axis, then those below two eighths, and so on."""
    x = torch.zeros(5, 2, 16, 16)
    order = _shuffled("dct", x, [torch.Generator().manual_seed(i) for i in range(5)])
    ring = torch.maximum(order % 256 // 16, order % 16) // 2
    assert (ring.diff(dim=1) >= 0).all()
    assert ring[0].bincount().tolist() == [2 * 4 * (2 * r + 1) for r in range(8)]
    smooth = _direction("dct", torch.tensor([0, 256]), x[0])
    assert torch.allclose(smooth[0, 0], torch.full((16, 16), 1 / 16))
    assert torch.allclose(smooth[1, 1], torch.full((16, 16), 1 / 16))
    assert not smooth[0, 1].any()


@pytest.mark.parametrize("basis", ["pixel", "dct"])
def test_kept_steps_add_up_to_step_times_the_root_of_their_number(basis):
    """Away from the box, within one round of directions."""
    model, step = Logged(), 0.05
    x = torch.full((3, 1, 6, 6), 0.5)
    result = run(model, x, torch.zeros(3, dtype=torch.int64), queries=30, step=step, basis=basis)
    number = (result.distance / step) ** 2
    assert torch.allclose(number, number.round(), atol=1e-3)
    assert (number >= 1).all()


def test_a_step_backward_is_only_asked_about_where_the_one_forward_was_not_kept():
    """Here all steps that darken help: forward, which lightens, never; backward always: two queries a pixel."""
    model = Logged()
    x = torch.full((2, 9), 0.5)
    result = run(model, x, torch.zeros(2, dtype=torch.int64), queries=7, step=0.1)
    changed = (result.x_adv - x).flatten(1)
    assert torch.allclose(changed.sum(dim=1), torch.tensor([-0.3, -0.3]))
    assert (result.forwards == 1 + 7 + 1).all()
    # The clean pass, p(y | x), then forward and backward in turn, then the look at the result.
    away = [(points - x).sum(dim=1).round(decimals=3).tolist() for points in model.points]
    assert [row[0] for row in away] == pytest.approx([0, 0, 0.1, -0.1, 0, -0.2, -0.1, -0.3, -0.3])


def test_a_step_that_the_box_undoes_is_not_asked_about():
    """White pixels can't be lightened: one query each, not two."""
    model = Logged()
    x = torch.ones(2, 9)
    result = run(model, x, torch.zeros(2, dtype=torch.int64), queries=7, step=0.1)
    assert torch.allclose((1 - result.x_adv).sum(dim=1), torch.tensor([0.6, 0.6]))


def test_directions_are_begun_anew_when_all_have_been_tried():
    """Six pixels of 0.1 at a time, from 0.5 down: three rounds cross a boundary that one does not."""
    model = Logged(bias=-1.5)
    x = torch.full((2, 6), 0.5)
    result = run(model, x, torch.zeros(2, dtype=torch.int64), queries=60, step=0.1)
    assert result.success.all()
    assert (result.x_adv.amin(dim=1) <= 0.3 + 1e-6).all()


def test_a_point_at_the_goal_ends_the_search_though_the_label_has_gained():
    """One step takes more from the third class than the label loses to the second: wrong is wrong."""

    class Third(nn.Module):
        def forward(self, x):
            s = x.sum(dim=1)
            return torch.stack([s, 3 * s - 1.05, 0.45 - 100 * (s - 0.51)], dim=1)

    x = torch.full((1, 1), 0.51)
    result = run(Third(), x, torch.zeros(1, dtype=torch.int64), step=0.04)
    assert result.prediction.tolist() == [1]
    assert Third()(result.x_adv).softmax(dim=1)[0, 0] > Third()(x).softmax(dim=1)[0, 0]
    assert result.forwards.tolist() == [4]  # the clean pass, p(y | x), the step, the look at the result
