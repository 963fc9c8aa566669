"""APGD and APGD-T: the oracle, the paper's checkpoints, and what a step costs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks.apgd import _checkpoints, _signs, apgd
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.goals import Targeted, Untargeted
from workers.losses import LOSSES
from workers.threats import BALLS

PARAMETERS = {"steps": 30, "rho": 0.75, "restarts": 1, "loss": "cross_entropy", "targets": 0}
NORMS = ["linf", "l2", "l1"]


def attack(model, x, y, norm, epsilon, *, goal="untargeted", label=None, options=None, **changes):
    spec = GoalSpec(kind=goal, label=label)
    plan = AttackPlan(name="apgd", norm=norm, epsilon=epsilon, parameters={**PARAMETERS, **changes}, goal=spec)
    options = {"sample_ids": torch.arange(len(y)), "seed": 1, "batch_size": 8, **(options or {})}
    return run_attack(model, x, y, plan, **options)


def distance(oracle, norm, target=None):
    """In L1 every unit of change closes the gap by the slope, whichever of the two classes it goes to."""
    if norm != "l1":
        return oracle.distance(norm, target)
    z = oracle.logits
    rival = z.topk(2, dim=1).values[:, 1] if target is None else z.gather(1, target.unsqueeze(1)).squeeze(1)
    return (z.amax(dim=1) - rival) / oracle.model.weight.max().item()


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("goal", ["untargeted", "steered", "label", "random"])
@pytest.mark.parametrize("norm", NORMS)
def test_succeeds_just_beyond_the_true_distance_and_fails_just_below_it(make_oracle, norm, goal, rank):
    """At 1.25 times the shortest perturbation it breaks, at 0.75 times nothing can."""
    oracle = make_oracle(3, rank)
    kind, steered = ("untargeted", {"targets": 9, "loss": "dlr"}) if goal == "steered" else (goal, {})
    for row in range(2):
        label = int(oracle.runner_up[row]) if goal == "label" else None
        samples = (oracle.model, oracle.x, oracle.y, norm)
        target = None if kind == "untargeted" else attack(*samples, 1e-3, goal=kind, label=label, steps=1).target
        truth = distance(oracle, norm, target)[row].item()
        beyond, below = (attack(*samples, f * truth, goal=kind, label=label, **steered) for f in (1.25, 0.75))
        assert beyond.success[row]
        assert not below.success[row]
        assert beyond.violations == below.violations == 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", NORMS)
def test_every_loss_leads_there(make_oracle, norm, loss):
    """Untargeted, from all losses of the contract."""
    oracle = make_oracle(8)
    epsilon = 1.25 * distance(oracle, norm).amax().item()
    assert attack(oracle.model, oracle.x, oracle.y, norm, epsilon, loss=loss).success.all()


class TwoClasses(nn.Module):
    """z = (0, w.x)."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.randn(30, generator=torch.Generator().manual_seed(4))

    def forward(self, x):
        z = x @ self.w
        return torch.stack([torch.zeros_like(z), z], dim=1)


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.2), ("l2", 1.5), ("l1", 2.0)])
def test_reaches_the_optimum_of_a_linear_model_inside_the_box(norm, epsilon, targeted):
    """Pixels at exactly 0 and 1 included; in L1 steps are a tenth of epsilon at least, so 4 % may be left."""
    model, ball = TwoClasses(), BALLS[norm](epsilon)
    x = (3 * torch.rand(9, 30, generator=torch.Generator().manual_seed(6)) - 1).clamp(0, 1)
    zero = torch.zeros(9, dtype=torch.int64)
    goal = Targeted(zero + 1) if targeted else Untargeted(zero)  # both climb w.x
    found = apgd(model, x, goal, ball, steps=100, rho=0.75, generator=torch.Generator().manual_seed(0))
    region = BALLS[norm](torch.full((9,), epsilon, dtype=torch.float64)).around(x.double())
    best = region.project(x.double() + 1e6 * model.w.double()).float()
    assert ((found - x) @ model.w >= (0.96 if norm == "l1" else 0.999) * ((best - x) @ model.w)).all()


def test_the_checkpoints_of_100_steps_are_the_papers():
    """p = 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99; of few steps some fall together, and none is the last."""
    assert sorted(_checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert sorted(_checkpoints(10)) == [3, 5, 6, 7, 8, 9, 10]
    assert sorted(_checkpoints(1)) == [1]


def test_the_step_is_halved_where_it_goes_back_and_forth():
    """On -|x - 0.4| steps of 2 epsilon overshoot for ever; halved at the checkpoints they close in on the peak."""

    def model(x):
        z = -(x - 0.4).abs().sum(dim=1)
        return torch.stack([torch.zeros_like(z), z], dim=1)

    x, ends = torch.full((1, 1), 0.5), []
    for steps in (4, 100):
        seen = []

        def spy(point, seen=seen):
            seen.append((point.detach() - 0.4).abs().amin().item())
            return model(point)

        goal, generator = Untargeted(torch.tensor([0])), torch.Generator().manual_seed(1)
        apgd(spy, x, goal, BALLS["linf"](0.3), steps=steps, rho=0.75, generator=generator)
        ends.append(min(seen[-3:]))
        assert len(seen) == steps
    assert ends[1] < 0.01 < ends[0]


@pytest.mark.parametrize("norm", NORMS)
def test_no_gradient_is_wasted(small_net, pictures, norm):
    """One forward and one backward a step, one forward of the clean input and one of the result."""
    x, y = pictures
    result = attack(small_net, x[:4], y[:4], norm, 1e-4, steps=13, options={"survivors_only": False})
    assert (result.backwards == 13).all()
    assert (result.forwards == 15).all()


def test_more_steps_and_more_classes_break_no_fewer(small_net, pictures):
    """With the same seed: what is kept is the first point that breaks a sample, whatever comes later."""
    x, y = pictures
    few, many = (attack(small_net, x, y, "linf", 0.02, steps=20, restarts=r).success for r in (1, 3))
    one, all_ = (attack(small_net, x, y, "linf", 0.02, steps=20, loss="dlr", targets=t).success for t in (1, 5))
    assert (many >= few).all()
    assert (all_ >= one).all()
    assert 0 < few.sum() < 32


@pytest.mark.parametrize("norm", NORMS)
def test_a_result_does_not_depend_on_its_batch(small_net, pictures, norm):
    """Nor do the points of L1's larger balls, which are no candidates, end up outside the ball."""
    x, y = (part[:6] for part in pictures)
    epsilon = {"linf": 0.03, "l2": 0.3, "l1": 2.0}[norm]
    one, six = (attack(small_net, x, y, norm, epsilon, steps=15, options={"batch_size": size}) for size in (1, 6))
    assert torch.allclose(one.x_adv, six.x_adv, atol=1e-5)
    assert six.violations == 0
    assert (six.distance <= epsilon + 1e-6 * max(1, epsilon)).all()


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("norm", NORMS)
def test_trap_13_few_classes_are_enough_to_be_steered_to(norm, classes):
    """K - 1 runs at most; the margin takes the place of the targeted DLR below four classes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, classes))
    x = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(dim=1)
    result = attack(model, x, y, norm, {"linf": 0.5, "l2": 3.0, "l1": 18.0}[norm], loss="dlr", targets=9)
    assert result.success.all()
    assert (result.prediction != y).all()


def test_the_sparse_step_moves_the_largest_gradients_that_the_box_lets_it():
    """Half of six pixels: not the first, which is white, nor the second, which is black."""
    g = torch.tensor([[6.0, -5.0, 4.0, -3.0, 2.0, 1.0]])
    x = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.5, 0.5]])
    steps = _signs(g, x, torch.tensor([0.5]))
    assert torch.allclose(steps, torch.tensor([[0, 0, 1, -1, 1, 0]]) / 3)
    assert not _signs(torch.zeros_like(g), x, torch.tensor([0.5])).any()
