"""Square: the oracle, its windows and bumps, and what it costs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks.square import _Bumps, _bumps, _Corners, _share, _span, _window, square
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.goals import Untargeted
from workers.threats import BALLS

PARAMETERS = {"queries": 150, "p_init": 0.8, "restarts": 1, "loss": "margin"}
NORMS = ["linf", "l2", "l1"]
SHAPES = [(3, 8, 8), (1, 5, 11), (6, 7), (40,), (1, 1), (2, 3, 6, 5)]


def attack(model, x, y, norm, epsilon, *, goal="untargeted", label=None, options=None, **changes):
    spec = GoalSpec(kind=goal, label=label)
    plan = AttackPlan(name="square", norm=norm, epsilon=epsilon, parameters={**PARAMETERS, **changes}, goal=spec)
    options = {"sample_ids": torch.arange(len(y)), "seed": 1, "batch_size": 8, **(options or {})}
    return run_attack(model, x, y, plan, **options)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("goal", ["untargeted", "label", "random"])
def test_succeeds_just_beyond_the_true_distance_and_fails_just_below_it(make_oracle, goal, rank):
    """At 1.25 times the shortest perturbation it breaks, at 0.75 times nothing can; also with pixels in one row."""
    oracle = make_oracle(3, rank)
    for row in range(2):
        label = int(oracle.runner_up[row]) if goal == "label" else None
        samples = (oracle.model, oracle.x, oracle.y, "linf")
        target = None
        if goal != "untargeted":
            target = attack(*samples, 1e-3, goal=goal, label=label, queries=1).target
        truth = oracle.distance("linf", target)[row].item()
        beyond, below = (attack(*samples, f * truth, goal=goal, label=label, queries=400) for f in (1.25, 0.75))
        assert beyond.success[row]
        assert not below.success[row]
        assert beyond.violations == below.violations == 0


@pytest.mark.parametrize("goal", ["untargeted", "label"])
@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
def test_in_l2_it_succeeds_at_twice_the_true_distance_and_fails_just_below_it(make_oracle, loss, goal):
    """The shortest way spreads over a block of 16 pixels of 64, which bumps of nine pixels only fill roughly."""
    oracle = make_oracle(8)
    label = int(oracle.runner_up[0]) if goal == "label" else None
    samples = (oracle.model, oracle.x[:1], oracle.y[:1], "l2")
    truth = oracle.distance("l2")[0].item()  # the runner-up is the nearest class
    found = [attack(*samples, f * truth, goal=goal, label=label, loss=loss, queries=1000) for f in (2.0, 0.75)]
    assert [bool(result.success[0]) for result in found] == [True, False]


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_it_does_better_than_as_many_random_points(small_net, pictures, norm):
    """At a radius where 150 random points of the ball break a third of the samples."""
    x, y = pictures
    ball = BALLS[norm]({"l2": 0.6, "l1": 4.0}[norm])
    generator, broken = torch.Generator().manual_seed(0), torch.zeros(32, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(150):
            broken |= small_net(ball.around(x).random(generator)).argmax(dim=1) != y
    goal = Untargeted(y)
    found = square(small_net, x, goal, ball, queries=150, p_init=0.8, generator=generator)
    assert goal.hit(small_net(found)).sum() >= 1.5 * broken.sum()
    assert broken.sum() > 5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_takes_inputs_of_any_shape_and_stays_in_ball_and_box(norm, shape):
    """Oblong pictures, pictures without channels or with two axes of them, one row, one pixel."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), 3))
    x = (2 * torch.rand(4, *shape, generator=torch.Generator().manual_seed(1)) - 0.5).clamp(0, 1)
    y, epsilon = model(x).argmax(dim=1), {"linf": 0.1, "l2": 0.5, "l1": 1.5}[norm]
    ball, goal = BALLS[norm](epsilon), Untargeted(y)
    options = {"queries": 60, "p_init": 0.8, "generator": torch.Generator().manual_seed(2)}
    found = square(model, x, goal, ball, **options)
    assert found.shape == x.shape
    assert (ball.distance(found, x) <= epsilon + 1e-6 * max(1, epsilon)).all()
    assert ((found >= 0) & (found <= 1)).all()
    start = square(model, x, goal, ball, **{**options, "queries": 1})
    z, before = model(found), goal.objective(model(start))
    assert ((goal.objective(z) >= before - 1e-6) | goal.hit(z)).all()


def test_the_share_of_the_picture_is_halved_as_published():
    """After 10, 50, 200, ... of 10,000 queries."""
    shares = [_share(n / 10000, 0.8) for n in (1, 10, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)]
    assert shares == [0.8 / 2**k for k in (0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)]


def test_a_square_that_does_not_fit_becomes_a_rectangle_of_the_same_area():
    """Side 6 in 4 x 20 is 4 x 9; side 6 in a row is 1 x 36 where there is room."""
    assert _window(6, 10, 10) == (6, 6)
    assert _window(6, 4, 20) == (4, 9)
    assert _window(6, 20, 4) == (9, 4)
    assert _window(6, 1, 50) == (1, 36)
    assert _window(6, 1, 5) == (1, 5)


def test_windows_reach_every_pixel_and_never_beyond_the_edge():
    """u just below 1 rounds up to 1 in the product."""
    inside = _span(torch.tensor([0.0, 0.5, 1 - 2**-24]), 3, 25)
    assert inside.sum(dim=1).tolist() == [3, 3, 3]
    assert inside[0, 0]
    assert inside[2, 24]


def test_corners_are_at_the_ends_of_the_intervals_in_one_square_per_channel():
    """Each channel goes to one end as a whole, and only inside the square."""
    x = torch.rand(5, 3, 9, 9, generator=torch.Generator().manual_seed(3))
    move = _Corners(BALLS["linf"](0.1), x)
    u = torch.rand(5, move.numbers, generator=torch.Generator().manual_seed(4))
    changed = move.propose(x, u, 0.2)
    low, high = (x - 0.1).clamp(min=0), (x + 0.1).clamp(max=1)
    moved = changed != x
    assert (moved.any(dim=1).flatten(1).sum(dim=1) <= 16).all()  # 0.2 of 81 pixels is a square of 4
    assert (moved.any(dim=1).flatten(1).sum(dim=1) >= 12).all()  # some were at an end already
    for i in range(5):
        for c in range(3):
            ends = torch.stack([v[i, c][moved[i, c]] == changed[i, c][moved[i, c]] for v in (low, high)])
            assert ends.all(dim=1).any()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("window", [(3, 3), (5, 5), (4, 7), (1, 6), (6, 1), (1, 1)])
def test_bumps_have_length_one_and_a_half_of_each_sign(window, order):
    """The one is split across, the other along; a single row or column can only be split one way."""
    bumps = _bumps(*window, order)
    assert torch.allclose(bumps.norm(order, dim=1), torch.ones(2))
    upright, lying = bumps.view(2, *window)
    if window[0] > 1:
        assert (upright[: window[0] // 2] > 0).all()
        assert (upright[window[0] // 2 :] < 0).all()
    if window[0] == window[1]:
        assert torch.allclose(upright, lying.T)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_move_keeps_the_length_of_the_change(norm):
    """What one square loses and epsilon has left, the other gains; on grey pictures the box takes nothing away."""
    x = torch.full((6, 2, 12, 12), 0.5)
    ball = BALLS[norm](0.8)
    move, generator = _Bumps(ball, x), torch.Generator().manual_seed(0)
    point = move.start(generator)
    for _ in range(20):
        assert torch.allclose(ball.distance(point, x), torch.full((6,), 0.8), atol=1e-3)
        point = move.propose(point, torch.rand(6, move.numbers, generator=generator), 0.2)


def test_it_asks_for_scores_only_and_as_often_as_it_may(small_net, pictures):
    """And one more forward each for the clean input and the result; samples that are done cost nothing more."""
    x, y = pictures
    whole = attack(small_net, x[:8], y[:8], "linf", 1e-4, options={"survivors_only": False})
    assert (whole.forwards == 152).all()
    assert not whole.backwards.any()
    spared = attack(small_net, x, y, "linf", 0.05)
    broken = spared.forwards[spared.success]
    assert (spared.forwards[~spared.success] >= 152).all()
    assert broken.float().mean() < 120


def test_a_result_does_not_depend_on_its_batch(small_net, pictures):
    """Every sample has squares of its own; so restarts break no fewer."""
    x, y = (part[:8] for part in pictures)
    one, eight = (attack(small_net, x, y, "linf", 0.04, options={"batch_size": size}) for size in (1, 8))
    assert torch.equal(one.success, eight.success)
    assert torch.allclose(one.x_adv, eight.x_adv, atol=1e-6)
    assert (attack(small_net, x, y, "linf", 0.04, restarts=3).success >= eight.success).all()
