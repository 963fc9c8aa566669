"""The smoothed nearest neighbour, and gradients on the RBF machine, against exhaustive search in the plane."""

from __future__ import annotations

import pytest
import torch

from workers.attacks.nearest_neighbor import nearest_neighbor
from workers.engine.attack import AttackPlan, run_attack
from workers.failures import Rejected
from workers.goals import Targeted, Untargeted
from workers.models.classical import DecisionTree, NearestNeighbors, fit
from workers.threats import BALLS, Linf

# The distance between two points of the search, and a little.
GRID = 0.004


def plane(side):
    """All points of a grid over the unit square, (side^2, 1, 1, 2)."""
    axis = torch.linspace(0, 1, side)
    return torch.cartesian_prod(axis, axis).view(-1, 1, 1, 2)


def shortest(model, x, norm):
    """The distance (N,) to the nearest point of a fine grid that gets another answer."""
    grid = plane(401)
    with torch.no_grad():
        own, other = model(x).argmax(dim=1), model(grid).argmax(dim=1)
    apart = (x.view(-1, 1, 2) - grid.view(1, -1, 2)).abs()
    distance = apart.amax(dim=2) if norm == "linf" else apart.norm(dim=2)
    return distance.masked_fill(own.unsqueeze(1) == other, torch.inf).amin(dim=1)


@pytest.fixture(scope="module")
def points():
    """Forty points of three classes in the plane, in clouds that touch; and ten samples."""
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(40) % 3
    centre = torch.tensor([[0.25, 0.25], [0.75, 0.3], [0.5, 0.75]])
    x = (centre[y] + 0.12 * torch.randn(40, 2, generator=generator)).clamp(0, 1)
    return x.view(-1, 1, 1, 2), y, torch.rand(10, 1, 1, 2, generator=generator)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_breaks_one_neighbour_just_beyond_the_true_distance(points, norm):
    """At 1.5 times the distance that exhaustive search finds, eight of ten break at least; below it nothing can."""
    references, labels, x = points
    model = NearestNeighbors(references.flatten(1), labels, 1, 3)
    y = model(x).argmax(dim=1)
    truth = shortest(model, x, norm)
    broken = 0
    for row in range(len(x)):
        own = slice(row, row + 1)
        for factor in (0.95, 1.5):
            ball = BALLS[norm](max(0.0, factor * truth[row].item() - (GRID if factor < 1 else 0)))
            goal = Untargeted(y[own])
            x_adv = nearest_neighbor(model, x[own], goal, ball, steps=10, temperature=0.01)
            assert ball.distance(x_adv, x[own]) <= ball.epsilon + 1e-6
            turned = model(x_adv).argmax(dim=1) != y[own]
            broken += int(turned)
            assert factor > 1 or not turned
    assert broken >= 8


def test_one_step_is_the_fast_gradient_of_the_smoothed_neighbour(points):
    """x + epsilon sign(grad log p_other - log p_own), worked out by hand."""
    references, labels, x = points
    model = NearestNeighbors(references.flatten(1), labels, 5, 3)
    y, temperature = model(x).argmax(dim=1), 0.05
    x_adv = nearest_neighbor(model, x, Untargeted(y), Linf(0.1), steps=1, temperature=temperature)
    for row, own in enumerate(y):
        apart = x[row].view(2) - references.view(-1, 2)
        weight = (-apart.square().sum(dim=1) / temperature).exp()
        p = torch.stack([weight[labels == k].sum() for k in range(3)])
        rival = p.scatter(0, own, 0).argmax()
        slope = [(weight * apart.T)[:, labels == k].sum(dim=1) / p[k] for k in (rival, own)]
        expected = (x[row].view(2) - 0.1 * (slope[0] - slope[1]).sign()).clamp(0, 1)
        assert torch.allclose(x_adv[row].view(2), expected, atol=1e-6)


def test_a_target_is_approached(points):
    """The chosen class's probability rises for every sample."""
    references, labels, x = points
    model = NearestNeighbors(references.flatten(1), labels, 3, 3)
    target = (model(x).argmax(dim=1) + 1) % 3
    x_adv = nearest_neighbor(model, x, Targeted(target), Linf(0.05), steps=3, temperature=0.1)
    own = torch.arange(len(x)), target
    assert (model.soft(x_adv, 0.1).softmax(dim=1)[own] > model.soft(x, 0.1).softmax(dim=1)[own]).all()


@pytest.mark.parametrize("steps", [1, 5])
def test_the_engine_judges_by_the_votes_and_not_by_the_smoothing(points, steps):
    """What it reports is what the model itself answers; the smoothed gradients are charged, its logits are not kept."""
    references, labels, x = points
    model = NearestNeighbors(references.flatten(1), labels, 3, 3)
    y = model(x).argmax(dim=1)
    parameters = {"steps": steps, "temperature": 0.05}
    plan = AttackPlan(name="nearest_neighbor", epsilon=0.2, parameters=parameters)
    found = run_attack(model, x, y, plan, sample_ids=torch.arange(10), seed=1, batch_size=10)
    assert torch.equal(found.prediction, model(found.x_adv).argmax(dim=1))
    assert torch.equal(found.success, found.prediction != y)
    assert found.success.sum() >= 5
    assert (found.backwards >= 1).all()
    assert not found.zero_gradient.any()
    if steps == 1:
        by_hand = nearest_neighbor(model, x, Untargeted(y), Linf(0.2), **parameters)
        assert torch.equal(found.x_adv, by_hand)


def test_refuses_what_has_no_references():
    """There is nothing to be near to."""
    tree = DecisionTree(
        *(torch.zeros(1, dtype=t) for t in (torch.int64, torch.float, torch.int64, torch.int64)), torch.ones(1, 2)
    )
    goal = Untargeted(torch.tensor([0]))
    with pytest.raises(Rejected) as caught:
        nearest_neighbor(tree, torch.rand(1, 1, 1, 2), goal, Linf(0.1), steps=1, temperature=0.1)
    assert caught.value.reason == "NOT_NEAREST_NEIGHBORS"


def test_gradients_find_the_nearest_boundary_of_the_rbf_machine(points):
    """PGD through the engine breaks it at 1.25 times the distance that exhaustive search finds, and not below."""
    x, y, samples = points
    model = fit.rbf_svm(x, y, cost=10.0, gamma=20.0)
    with torch.no_grad():
        own = model(samples).argmax(dim=1)
    truth, broken = shortest(model, samples, "l2"), 0
    for row in range(len(samples)):
        one = slice(row, row + 1)
        for factor in (0.95, 1.25):
            epsilon = max(0.0, factor * truth[row].item() - (GRID if factor < 1 else 0))
            parameters = {"steps": 20, "step_size": epsilon / 5, "restarts": 4, "random_start": True, "loss": "margin"}
            plan = AttackPlan(name="pgd", epsilon=epsilon, norm="l2", parameters=parameters)
            result = run_attack(
                model, samples[one], own[one], plan, sample_ids=torch.tensor([row]), seed=1, batch_size=1
            )
            broken += int(result.success)
            assert factor > 1 or not result.success
    assert broken >= 9


def test_the_engine_breaks_the_rbf_machine_on_digits():
    """PGD leaves less than a tenth of the digits that the machine knows."""
    from workers.data import builtin

    train, test = builtin("digits", "train"), builtin("digits", "test")
    model = fit.rbf_svm(train.x[:600], train.y[:600])
    parameters = {"steps": 20, "step_size": 0.05, "restarts": 1, "random_start": True, "loss": "margin"}
    plan = AttackPlan(name="pgd", epsilon=0.3, parameters=parameters)
    ids = torch.arange(60)
    found = run_attack(model, test.x[:60], test.y[:60], plan, sample_ids=ids, seed=1, batch_size=60)
    assert found.attacked.float().mean() > 0.9
    assert found.success.sum() >= 0.9 * found.attacked.sum()
    assert found.violations == 0
