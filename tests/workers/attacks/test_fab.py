"""FAB: how near it comes to the shortest perturbation, and at what cost."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks.fab import fab
from workers.engine.attack import AttackPlan, run_attack
from workers.goals import Steered, Targeted, Untargeted
from workers.threats import BALLS

OPTIONS = {"steps": 20, "restarts": 1, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9}
NO_LIMIT = {"linf": 1.0, "l2": 1000.0, "l1": 1000.0}
NORMS = list(NO_LIMIT)
every_norm = pytest.mark.parametrize("norm", NORMS)


def attack(model, x, y, norm, *, epsilon=None, targets=9, batch_size=8, **changes):
    parameters = {**OPTIONS, "targets": targets, **changes}
    limit = NO_LIMIT[norm] if epsilon is None else epsilon
    plan = AttackPlan(name="fab", norm=norm, epsilon=limit, parameters=parameters)
    return run_attack(model, x, y, plan, sample_ids=torch.arange(len(y)), seed=1, batch_size=batch_size)


def distance(oracle, norm):
    """In L1 every unit of change closes the gap by the slope, whichever of the two classes it goes to."""
    if norm != "l1":
        return oracle.distance(norm)
    best = oracle.logits.topk(2, dim=1).values
    return (best[:, 0] - best[:, 1]) / oracle.model.weight.max().item()


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("targets", [0, 9])
@every_norm
def test_comes_within_a_hundredth_of_the_shortest_perturbation(make_oracle, norm, targets, count, rank):
    """The bound that all attacks of this kind must meet is 1.25; what is measured is 1.006."""
    oracle = make_oracle(count, rank)
    result = attack(oracle.model, oracle.x, oracle.y, norm, targets=targets)
    assert result.success.all()
    assert result.violations == 0
    ratio = result.distance / distance(oracle, norm)
    assert ((ratio >= 0.999) & (ratio <= 1.01)).all()


@pytest.mark.parametrize("factor", [1.25, 0.75])
@every_norm
def test_epsilon_says_from_where_on_a_way_is_too_long(make_oracle, norm, factor):
    """At 1.25 times the shortest distance all are broken, at 0.75 times none is; both results are in the ball."""
    oracle = make_oracle(4)
    for row in range(2):
        epsilon = factor * distance(oracle, norm)[row].item()
        result = attack(oracle.model, oracle.x, oracle.y, norm, epsilon=epsilon)
        assert result.success[row] == (factor > 1)
        assert result.violations == 0


class TwoClasses(nn.Module):
    """z = (0, w.x - b), a boundary that no sample is on the far side of."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.randn(30, generator=torch.Generator().manual_seed(4))

    def forward(self, x):
        z = x @ self.w - 4.5
        return torch.stack([torch.zeros_like(z), z], dim=1)


@pytest.mark.parametrize("targets", [0, 9])
@every_norm
def test_trap_13_two_classes_and_a_box_that_is_in_the_way(norm, targets):
    """Two thirds of the pixels are at 0 or 1; the shortest way inside the box is known, and there is one way to go."""
    model = TwoClasses()
    x = (3 * torch.rand(9, 30, generator=torch.Generator().manual_seed(6)) - 1).clamp(0, 1)
    missing = -(model(x)[:, 1])
    assert (missing > 0).all()
    d = BALLS[norm](1.0).shortest(x.double(), model.w.double().expand(9, 30), missing.double())
    truth = BALLS[norm](1.0).distance(x + d.float(), x)
    result = attack(model, x, torch.zeros(9, dtype=torch.int64), norm, targets=targets)
    assert result.success.all()
    assert (result.distance <= 1.01 * truth).all()


@every_norm
def test_a_chosen_class_is_reached(make_oracle, norm):
    """The contract offers no target, a caller may: what leads is then the class, and not any other."""
    oracle = make_oracle(5)
    goal = Targeted((oracle.y + 1) % 4)
    found = fab(oracle.model, oracle.x, goal, BALLS[norm](NO_LIMIT[norm]), generator=torch.Generator(), **OPTIONS)
    assert goal.hit(oracle.model(found)).all()


@every_norm
def test_being_steered_ends_at_any_class_but_the_label(small_net, pictures, norm):
    """A net with curved boundaries: all of them are crossed, and the way to the nearest class is the shortest."""
    x, y = pictures
    others = small_net(x).scatter(1, y.unsqueeze(1), -torch.inf).argsort(dim=1, descending=True)
    ball, ends = BALLS[norm](NO_LIMIT[norm]), []
    for way in (0, 4):
        goal = Steered(y, way=others[:, way])
        found = fab(small_net, x, goal, ball, generator=torch.Generator(), **OPTIONS)
        assert goal.hit(small_net(found)).float().mean() > 0.9
        ends.append(ball.distance(found, x).mean())
    assert ends[0] < ends[1]


def test_a_step_asks_once(small_net, pictures):
    """One forward a step; at the end one of the sample and three of points between it and the nearest one."""
    x, y = (part[:4] for part in pictures)
    for goal in (Untargeted(y), Steered(y, way=(y + 1) % 6)):
        asked = []

        def counting(point, asked=asked):
            asked.append(len(point))
            return small_net(point)

        fab(counting, x, goal, BALLS["l2"](1000.0), generator=torch.Generator(), **OPTIONS)
        assert asked == [4] * 24
    result = attack(small_net, x, y, "l2", targets=1)
    assert (result.backwards == 20).all()
    assert (attack(small_net, x, y, "l2", targets=0).backwards == 20 * 6).all()


@every_norm
def test_restarts_begin_with_the_sample_and_make_no_way_longer(small_net, pictures, norm):
    """The first of three runs is the one run."""
    x, y = (part[:8] for part in pictures)
    one, three = (attack(small_net, x, y, norm, targets=0, restarts=r).distance for r in (1, 3))
    assert (three <= one * (1 + 1e-5) + 1e-6).all()


def test_a_result_does_not_depend_on_its_batch(small_net, pictures):
    """Restarts are drawn from the sample's own stream. The last bit of a logit may decide which side a point is on."""
    x, y = (part[:6] for part in pictures)
    one, six = (attack(small_net, x, y, "l2", targets=1, restarts=2, batch_size=size) for size in (1, 6))
    assert torch.allclose(one.distance, six.distance, rtol=0.02)


@pytest.mark.parametrize("targets", [0, 2])
@every_norm
def test_a_model_without_slopes_leaves_the_sample_where_it_is(norm, targets):
    """No boundary can be seen: no NaN, no success, no crash."""
    x = torch.rand(3, 5, generator=torch.Generator().manual_seed(2))
    model = nn.Linear(5, 3)
    with torch.no_grad():
        model.weight.zero_()
    result = attack(model, x, model(x).argmax(dim=1), norm, targets=targets)
    assert not result.success.any()
    assert torch.equal(result.x_adv, x)
    goal = Untargeted(torch.tensor([0, 0, 0]))
    assert goal.hit(model(result.x_adv)).tolist() == (model(x).argmax(dim=1) != 0).tolist()
