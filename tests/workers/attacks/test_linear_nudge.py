"""The closed form for linear models against exact programmes, and the tutorial's worked example to its digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import nn

from workers.attacks.linear_nudge import linear_nudge
from workers.engine.attack import AttackPlan, run_attack
from workers.failures import Rejected
from workers.goals import Targeted, Untargeted
from workers.models import Signature, build
from workers.threats import BALLS

NORMS = ("linf", "l2")
CLASSES, WIDTH = 6, 40
MARGIN = 1.0001


@pytest.fixture(scope="module")
def model():
    """Six classes, forty pixels, weights of all sizes; one pixel has none."""
    torch.manual_seed(2)
    linear = nn.Linear(WIDTH, CLASSES)
    linear.weight.data = torch.randn(CLASSES, WIDTH)
    linear.weight.data[:, 7] = 0
    return linear


@pytest.fixture(scope="module")
def samples(model):
    """Twelve samples, a third of their pixels at 0 or 1; the answer and the least likely class of each."""
    x = (1.8 * torch.rand(12, WIDTH, generator=torch.Generator().manual_seed(3)) - 0.4).clamp(0, 1)
    with torch.no_grad():
        z = model(x)
    return x, z.argmax(dim=1), z.argmin(dim=1)


def shortest(model, x, answer, norm):
    """The length of the shortest way to `answer` inside the box: a linear or a quadratic programme; inf if none."""
    w, b, x = model.weight.detach().double().numpy(), model.bias.detach().double().numpy(), x.double().numpy()
    others = [k for k in range(CLASSES) if k != answer]
    z, ahead = w @ x + b, w[answer] - w[others]
    gap = z[others] - z[answer]
    box = [(-value, 1 - value) for value in x]
    eye, one = np.eye(WIDTH), np.ones((WIDTH, 1))
    rows = np.block([[-ahead, np.zeros((len(others), 1))], [eye, -one], [-eye, -one]])
    bounds, limits = np.r_[-gap, np.zeros(2 * WIDTH)], [*box, (0, None)]
    solved = linprog(np.r_[np.zeros(WIDTH), 1], A_ub=rows, b_ub=bounds, bounds=limits)
    if solved.status != 0 or norm == "linf":
        return solved.fun if solved.status == 0 else np.inf
    beats = {"type": "ineq", "fun": lambda d: ahead @ d - gap, "jac": lambda _: ahead}
    settings = {"maxiter": 200, "ftol": 1e-10}
    start = solved.x[:WIDTH]
    found = minimize(
        lambda d: d @ d / 2, start, jac=lambda d: d, bounds=box, constraints=[beats], method="SLSQP", options=settings
    )
    return np.linalg.norm(found.x)


@pytest.mark.parametrize("norm", NORMS)
def test_untargeted_is_the_shortest_way_there_is(model, samples, norm):
    """Over all other classes, box included."""
    x, y, _ = samples
    ball = BALLS[norm](1000.0)
    x_adv = linear_nudge(model, x, Untargeted(y), ball, margin=MARGIN)
    distance = ball.distance(x_adv, x)
    assert (model(x_adv).argmax(dim=1) != y).all()
    for row in range(4):
        truth = min(shortest(model, x[row], k, norm) for k in range(CLASSES) if k != y[row])
        assert distance[row] == pytest.approx(truth, rel=1e-3)


@pytest.mark.parametrize("norm", NORMS)
def test_targeted_is_close_to_the_shortest_way(model, samples, norm):
    """To the least likely class, where all five rivals have to be beaten at once: 1.005 in L2, 1.06 in L-infinity."""
    x, _, target = samples
    ball = BALLS[norm](1000.0)
    x_adv = linear_nudge(model, x, Targeted(target), ball, margin=MARGIN)
    truth = torch.tensor([shortest(model, own, int(t), norm) for own, t in zip(x, target, strict=True)])
    possible = truth < torch.inf
    assert possible.sum() >= 10
    assert (model(x_adv).argmax(dim=1) == target)[possible].all()
    ratio = (ball.distance(x_adv, x) / truth)[possible]
    assert (ratio > 0.999).all()
    assert (ratio < (1.06 if norm == "linf" else 1.005)).all()
    assert ratio.median() < 1.003


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("norm", NORMS)
def test_meets_the_oracle_of_the_other_attacks(make_oracle, norm, count, rank):
    """Untargeted within 1.001 times the margin of the closed form, targeted within 1.01 times."""
    oracle, ball = make_oracle(count, rank), BALLS[norm](1000.0)
    target = (oracle.y + 1) % 4
    free = linear_nudge(oracle.model, oracle.x, Untargeted(oracle.y), ball, margin=1.02)
    aimed = linear_nudge(oracle.model, oracle.x, Targeted(target), ball, margin=1.02)
    with torch.no_grad():
        assert (oracle.model(free).argmax(dim=1) != oracle.y).all()
        assert (oracle.model(aimed).argmax(dim=1) == target).all()
    assert (ball.distance(free, oracle.x) / oracle.distance(norm)).sub(1.02).abs().max() < 1e-3
    assert (ball.distance(aimed, oracle.x) / oracle.distance(norm, target)).sub(1.02).abs().max() < 0.01
    assert free.shape == aimed.shape == oracle.x.shape


def test_the_tutorials_ten_numbers():
    """w.x = -3 becomes exactly +2 where every number moves by 0.5: P(y = 1) from 0.0474 to 0.8808.

    The ten numbers, -4 to 5, are written as pixels 1/2 + x / 16, which float32 holds exactly. The boundary is at 0.3 of
    each number, so a margin of 5/3 makes 0.5.
    """
    w = torch.tensor([-1, -1, 1, -1, 1, -1, 1, 1, -1, 1.0])
    x = torch.tensor([[2, -1, 3, -2, 2, 2, 1, -4, 5, 1.0]])

    def logistic(pixels):
        score = (16 * (pixels - 0.5)) @ w
        return torch.stack([torch.zeros_like(score), score], dim=1)

    zero = torch.zeros(1, dtype=torch.int64)
    for goal in (Untargeted(zero), Targeted(zero + 1)):
        x_adv = linear_nudge(logistic, x / 16 + 0.5, goal, BALLS["linf"](1.0), margin=5 / 3)
        moved = 16 * (x_adv - 0.5)
        assert torch.allclose(moved, torch.tensor([[1.5, -1.5, 3.5, -2.5, 2.5, 1.5, 1.5, -3.5, 4.5, 1.5]]), atol=2e-6)
        assert (x @ w).item() == -3
        assert round((moved @ w).item(), 4) == 2
        assert [round(torch.sigmoid(p @ w).item(), 4) for p in (x, moved)] == [0.0474, 0.8808]


def test_the_steps_length_without_a_box_is_the_papers():
    """f / |w|_1 in L-infinity and f / |w|_2 in L2."""
    w = torch.tensor([[1.0, -2.0, 0.5]])
    x = torch.full((1, 3), 0.5)

    def model(x):
        return torch.cat([torch.zeros(1, 1), 0.1 * (x - 0.5) @ w.T - 0.02], dim=1)

    for norm, length in (("linf", 0.2 / 3.5), ("l2", 0.2 / 5.25**0.5)):
        ball = BALLS[norm](1000.0)
        x_adv = linear_nudge(model, x, Untargeted(torch.tensor([0])), ball, margin=1.0)
        assert ball.distance(x_adv, x).item() == pytest.approx(length, rel=1e-5)
        assert torch.allclose(x_adv - x, length * ball.steepest(w), atol=1e-7)


@pytest.mark.parametrize("architecture", ["mlp", "wong_cnn"])
def test_refuses_what_is_not_linear(architecture):
    """Piecewise linear is not linear."""
    net, x = build(Signature(architecture, (1, 8, 8), 5), seed=0), torch.rand(3, 1, 8, 8)
    with pytest.raises(Rejected) as caught:
        linear_nudge(net, x, Untargeted(torch.zeros(3, dtype=torch.int64)), BALLS["linf"](1.0), margin=1.02)
    assert caught.value.reason == "NOT_LINEAR"


@pytest.mark.parametrize("norm", NORMS)
def test_normalisation_and_large_scales_are_linear_too(norm):
    """Softmax regression behind a layer that normalises, and logits times 10,000."""
    net = build(Signature("softmax_regression", (3, 4, 4), 5, (0.5, 0.4, 0.3), (0.2, 0.3, 0.1)), seed=0)
    x = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = net(x).argmax(dim=1)
    plain, scaled = (
        linear_nudge(f, x, Untargeted(y), BALLS[norm](1000.0), margin=1.02) for f in (net, lambda x: 1e4 * net(x))
    )
    assert (net(plain).argmax(dim=1) != y).all()
    assert torch.allclose(plain, scaled, atol=1e-5)


def test_what_the_box_forbids_ends_at_the_edge():
    """A class that no picture gets: the result is the picture that comes closest, and finite."""
    w = torch.tensor([[1.0, -1.0], [0.0, 0.0]])

    def model(x):
        return x @ w.T + torch.tensor([-100.0, 0.0])

    x = torch.tensor([[0.25, 0.5]])
    x_adv = linear_nudge(model, x, Targeted(torch.tensor([0])), BALLS["linf"](1.0), margin=1.02)
    assert x_adv.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("norm", NORMS)
def test_the_engine_runs_it_with_one_jacobian(make_oracle, norm):
    """All classes' backwards once, and four forwards: clean, with the weights, at the second point, at the result."""
    oracle = make_oracle(8)
    plan = AttackPlan(name="linear_nudge", epsilon=1.0, norm=norm, parameters={"margin": 1.02})
    found = run_attack(oracle.model, oracle.x, oracle.y, plan, sample_ids=oracle.ids, seed=1, batch_size=8)
    assert found.success.all()
    assert found.violations == 0
    assert (found.distance <= 1.021 * oracle.distance(norm)).all()
    assert (found.backwards == 4).all()
    assert (found.forwards == 4).all()
