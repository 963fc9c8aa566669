"""Every attack against models whose optimum is known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks import bim, fgsm, iterative_least_likely, least_likely, pgd
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.goals import Targeted, Untargeted
from workers.losses import LOSSES
from workers.threats import BALLS

STEPS = 20
ITERATED = {"steps": STEPS}
PARAMETERS = {
    "fgsm": {},
    "bim": ITERATED,
    "iterative_least_likely": ITERATED,
    "pgd": {**ITERATED, "restarts": 2, "random_start": True, "loss": "cross_entropy"},
}
# The goals that one linear step can reach are those of FGSM: any class, or the runner-up.
GOALS = {
    "fgsm": ["untargeted", "label"],
    "bim": ["untargeted", "label", "random"],
    "iterative_least_likely": ["least_likely"],
    "pgd": ["untargeted", "label", "random"],
}
CASES = [
    (name, norm, goal)
    for name, goals in GOALS.items()
    for norm in ("linf", "l2")
    for goal in goals
    if (name, norm) != ("iterative_least_likely", "l2")
]


def attack(oracle, name, norm, epsilon, goal, *, label=None, **changes):
    parameters = {**PARAMETERS[name], **changes}
    if "steps" in parameters:
        parameters.setdefault("step_size", 2.5 * epsilon / parameters["steps"])
    plan = AttackPlan(
        name=name, norm=norm, epsilon=epsilon, parameters=parameters, goal=GoalSpec(kind=goal, label=label)
    )
    return run_attack(oracle.model, oracle.x, oracle.y, plan, sample_ids=oracle.ids, seed=1, batch_size=8)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_succeeds_just_beyond_the_true_distance_and_fails_just_below_it(make_oracle, case, count, rank):
    """At 1.25 times the shortest perturbation it breaks, at 0.75 times nothing can."""
    (name, norm, goal), oracle = case, make_oracle(count, rank)
    for row in range(min(count, 2)):  # each sample has its own distance, so its own epsilon
        label = int(oracle.runner_up[row]) if goal == "label" else None
        target = None if goal == "untargeted" else attack(oracle, name, norm, 0.0, goal, label=label).target
        truth = oracle.distance(norm, target)[row].item()
        beyond = attack(oracle, name, norm, 1.25 * truth, goal, label=label)
        below = attack(oracle, name, norm, 0.75 * truth, goal, label=label)
        assert beyond.attacked[row]
        assert beyond.success[row]
        assert not below.success[row]
        assert beyond.violations == below.violations == 0
        assert beyond.distance[row] <= 1.25 * truth + 1e-6


@pytest.mark.parametrize(
    ("loss", "goal"),
    [
        (loss, goal)
        for loss in LOSSES
        for goal in ("untargeted", "random", "label")
        if (loss, goal) != ("dlr", "random")
    ],
)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_succeeds_with_every_loss(make_oracle, loss, norm, goal):
    """Cross-entropy, margin and DLR, with a target and without; DLR's target is the runner-up (see `dlr_targeted`)."""
    oracle = make_oracle(8)
    label = int(oracle.runner_up[0]) if goal == "label" else None
    rows = oracle.runner_up == label if goal == "label" else torch.ones(8, dtype=torch.bool)
    target = attack(oracle, "pgd", norm, 1e-3, goal, label=label).target
    truth = oracle.distance(norm, None if goal == "untargeted" else target)
    result = attack(oracle, "pgd", norm, 1.25 * truth[rows].amax().item(), goal, label=label, loss=loss, steps=60)
    assert result.success[rows].all()


class TwoClasses(nn.Module):
    """z = (0, w.x + b): cross-entropy's gradient is along w everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.randn(30, generator=torch.Generator().manual_seed(4))

    def forward(self, x):
        z = x @ self.w
        return torch.stack([torch.zeros_like(z), z], dim=1)


def highest(w, x, epsilon, norm):
    """The x' of ball and box with the largest w.x': in L2 found by bisection over its length before clipping."""
    if norm == "linf":
        return (x + epsilon * w.sign()).clamp(0, 1)
    low, high = torch.zeros(len(x), 1), torch.full((len(x), 1), 1e4)
    for _ in range(100):
        middle = (low + high) / 2
        short = ((x + middle * w).clamp(0, 1) - x).norm(dim=1, keepdim=True) < epsilon
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (x + low * w).clamp(0, 1)


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "bim", "iterative_least_likely", "pgd"])
def test_reaches_the_exact_optimum_of_a_linear_model_inside_the_box(name, norm, targeted):
    """Pixels at exactly 0 and 1 included: no point of ball and box has a higher objective.

    In L2 one step of FGSM ends where the box lets it, so it is compared on grey inputs, which the box leaves alone.
    """
    model, epsilon = TwoClasses(), 0.2 if norm == "linf" else 1.5
    x = (3 * torch.rand(9, 30, generator=torch.Generator().manual_seed(6)) - 1).clamp(0, 1)
    if (name, norm) == ("fgsm", "l2"):
        x = torch.full_like(x, 0.5)
        epsilon = 0.4
    zero = torch.zeros(9, dtype=torch.int64)
    goal = Targeted(zero + 1) if targeted else Untargeted(zero)  # both climb w.x
    ball, iterated = BALLS[norm](epsilon), {"steps": 300, "step_size": epsilon / 10}
    found = {
        "fgsm": lambda: fgsm(model, x, goal, ball),
        "bim": lambda: bim(model, x, goal, ball, **iterated),
        "iterative_least_likely": lambda: iterative_least_likely(model, x, goal, ball, **iterated),
        "pgd": lambda: pgd(model, x, goal, ball, **iterated, random_start=True, generator=torch.Generator()),
    }[name]()
    best = highest(model.w, x, epsilon, norm)
    assert torch.allclose(found @ model.w, best @ model.w, atol=2e-4 if norm == "l2" else 1e-5)


def test_least_likely_is_the_first_of_the_smallest_logits():
    """y_LL = argmin p(y|x)."""
    assert least_likely(torch.tensor([[0.0, -1.0, -1.0], [3.0, 2.0, 1.0]])).tolist() == [1, 2]


def test_karpathys_ten_numbers():
    """w.x = -3 becomes +2 when every number moves by 0.5 against the class (here scaled into [0, 1] by 1/20 + 1/2)."""
    w = torch.tensor([-1, -1, 1, -1, 1, -1, 1, 1, -1, 1.0])
    x = torch.tensor([[2, -1, 3, -2, 2, 2, 1, -4, 5, 1.0]])

    def model(scaled):
        z = (20 * (scaled - 0.5)) @ w
        return torch.stack([torch.zeros_like(z), z], dim=1)

    x_adv = fgsm(model, x / 20 + 0.5, Untargeted(torch.tensor([0])), BALLS["linf"](0.5 / 20))
    moved = 20 * (x_adv - 0.5)
    assert torch.allclose(moved, torch.tensor([[1.5, -1.5, 3.5, -2.5, 2.5, 1.5, 1.5, -3.5, 4.5, 1.5]]), atol=1e-5)
    assert (x @ w).item() == -3
    assert (moved @ w).item() == pytest.approx(2, abs=1e-4)
    assert torch.sigmoid(moved @ w).item() == pytest.approx(0.8808, abs=1e-4)
