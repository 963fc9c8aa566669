"""JSMA: the exact best pair, the paper's algorithm step by step, and where it ends."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from workers.engine.attack import AttackPlan, GoalSpec, run_attack

DEFAULTS = {"theta": 1.0, "max_fraction": 0.145, "pairs": True, "use_logits": True}


def attack(model, x, y, *, goal="untargeted", label=None, epsilon=1e6, ids=None, batch_size=16, **changes):
    plan = AttackPlan(
        name="jsma",
        norm="l0",
        epsilon=epsilon,
        parameters={**DEFAULTS, **changes},
        goal=GoalSpec(kind=goal, label=label),
    )
    ids = torch.arange(len(y)) if ids is None else ids
    return run_attack(model, x, y, plan, sample_ids=ids, seed=1, batch_size=batch_size)


class Mixed(nn.Module):
    """Logits with a slope of either sign nearly everywhere."""

    def __init__(self, shape=(1, 5, 6), classes=4):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        count = torch.Size(shape).numel()
        self.w = torch.randn(count, 12, generator=generator) / count**0.5
        self.v = torch.randn(12, classes, generator=generator)

    def forward(self, x):
        return torch.tanh((2 * x - 1).flatten(1) @ self.w) @ self.v


def samples(model, count=10, shape=(1, 5, 6)):
    x = torch.rand(count, *shape, generator=torch.Generator().manual_seed(4))
    x.flatten(1)[:, :4] = torch.tensor([0.0, 1.0, 0.0, 1.0])  # so that some pixels can't be raised, or lowered
    with torch.no_grad():
        return x, model(x).argmax(dim=1)


def paper(model, x, wanted, *, theta, pixels, pairs, use_logits):
    """Algorithms 2 and 3 of arXiv:1511.07528 for one sample, with the whole Jacobian and every pair."""

    def outputs(point):
        z = model(point.unsqueeze(0))[0]
        return z if use_logits else z.softmax(dim=0)

    x = x.clone()
    for _ in range(pixels // 2 if pairs else pixels):
        t = wanted(model(x.unsqueeze(0))[0])
        if t is None:
            break
        J = torch.autograd.functional.jacobian(outputs, x).flatten(1).double()
        alpha, beta = J[t], J.sum(dim=0) - J[t]
        domain = [i for i, value in enumerate(x.flatten().tolist()) if (value < 1 if theta > 0 else value > 0)]
        choices = [(p, q) for p in domain for q in domain if p < q] if pairs else [(p,) for p in domain]
        best, chosen = 0.0, None
        for choice in choices:
            a, b = sum(alpha[i].item() for i in choice), sum(beta[i].item() for i in choice)
            if (a > 0 > b if theta > 0 else a < 0 < b) and -a * b > best:
                best, chosen = -a * b, choice
        if chosen is None:
            break
        for i in chosen:
            x.view(-1)[i] = min(max(x.view(-1)[i].item() + theta, 0.0), 1.0)
    return x


@pytest.mark.parametrize("goal", ["label", "untargeted"])
@pytest.mark.parametrize("use_logits", [True, False])
@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("theta", [1.0, -1.0, 0.3])
def test_takes_the_papers_steps(theta, pairs, use_logits, goal):
    """The same points as the algorithm written out, sample by sample; without a target, towards the likeliest other."""
    model = Mixed()
    x, y = samples(model, 5)
    result = attack(
        model,
        x,
        y,
        goal=goal,
        label=2 if goal == "label" else None,
        theta=theta,
        pairs=pairs,
        use_logits=use_logits,
        max_fraction=0.3,
    )
    for i in result.attacked.nonzero().flatten().tolist():

        def wanted(z, own=int(y[i])):
            if goal == "label":
                return None if z.argmax() == 2 else 2
            others = z.index_fill(0, torch.tensor(own), -torch.inf)
            return None if z.argmax() != own else int(others.argmax())

        expected = paper(model, x[i], wanted, theta=theta, pixels=9, pairs=pairs, use_logits=use_logits)
        if result.success[i]:
            assert torch.allclose(result.x_adv[i], expected)
        else:
            assert wanted(model(expected.unsqueeze(0))[0]) is not None


@pytest.mark.parametrize("goal", ["untargeted", "random"])
@pytest.mark.parametrize("pairs", [True, False])
def test_changes_the_fewest_pixels_that_a_linear_model_needs(make_oracle, pairs, goal):
    """On the oracle, on probabilities: single pixels as few as there can be, pairs one more at most."""
    oracle = make_oracle(8)
    result = attack(oracle.model, oracle.x, oracle.y, goal=goal, pairs=pairs, use_logits=False)
    assert result.success.all()
    blocks = oracle.x.flatten(1).view(8, 4, -1)
    for i in range(8):
        own, target = int(oracle.y[i]), int(oracle.runner_up[i] if goal == "untargeted" else result.target[i])
        steps = torch.cat([blocks[i, own], 1 - blocks[i, target]]).sort(descending=True).values.cumsum(0)
        fewest = int((10 * steps <= oracle.logits[i, own] - oracle.logits[i, target]).sum()) + 1
        assert result.distance[i] >= fewest
        assert result.distance[i] <= fewest + (fewest % 2 if pairs else 0)


def test_logits_without_a_pixel_that_lowers_the_others_give_it_nothing_to_do(make_oracle):
    """On the oracle every pixel raises one class alone, so that beta is never below 0: given up at the first step."""
    oracle = make_oracle(3)
    result = attack(oracle.model, oracle.x, oracle.y)
    assert not result.success.any()
    assert result.violations == 0
    assert (result.forwards == 3).all()  # the clean pass, one step, one look at the result


def test_saturated_probabilities_stop_it_and_logits_do_not():
    """What defensive distillation lives on: the softmax of logits times 10^4 has no slope in float32."""
    model = Mixed()
    x, y = samples(model)

    class Distilled(nn.Module):
        def forward(self, p):
            return 1e4 * model(p)

    stopped = attack(Distilled(), x, y, use_logits=False, max_fraction=0.5)
    assert stopped.success.float().mean() <= 0.2
    assert (stopped.forwards[~stopped.success] <= 4).all()
    assert attack(Distilled(), x, y, max_fraction=0.5).success.float().mean() >= 0.8


@pytest.mark.parametrize("theta", [1.0, -1.0])
def test_pixels_that_are_full_already_are_never_chosen(theta):
    """Every changed pixel goes to the same end, and none that is there stays counted."""
    model = Mixed()
    x, y = samples(model, 30)
    result = attack(model, x, y, theta=theta, max_fraction=0.5)
    assert result.success.any()
    changed = result.x_adv != x
    assert (result.x_adv[changed] == (1.0 if theta > 0 else 0.0)).all()
    edge = x == (1.0 if theta > 0 else 0.0)
    assert edge.any()
    assert not (changed & edge).any()


@pytest.mark.parametrize(("max_fraction", "most"), [(0.04, 0), (0.07, 2), (0.145, 4), (0.29, 8)])
def test_no_more_than_its_share_of_the_pixels_changes(max_fraction, most):
    """floor(Upsilon D / 2) pairs of 30 pixels."""
    model = Mixed()
    x, y = samples(model, 30)
    result = attack(model, x, y, goal="random", max_fraction=max_fraction)
    assert (result.distance <= most).all()
    assert (result.distance == most).any()


def test_a_share_of_29_percent_of_a_hundred_pixels_is_29():
    """And not 28, as 0.29 x 100 is in floating point; each of these pixels helps, and all of them are not enough."""

    class Far(nn.Module):
        def forward(self, p):
            return torch.stack([2 - p.mean(dim=1), p.mean(dim=1)], dim=1)

    result = attack(Far(), torch.zeros(2, 100), torch.zeros(2, dtype=torch.int64), max_fraction=0.29, pairs=False)
    assert not result.success.any()
    assert result.distance.tolist() == [29, 29]


def test_what_changes_more_pixels_than_epsilon_is_no_success():
    """epsilon is a limit: what is further away comes back drawn to the ball, and is judged there."""
    model = Mixed()
    x, y = samples(model, 30)
    free, limited = (attack(model, x, y, epsilon=epsilon, max_fraction=0.5) for epsilon in (1e6, 2.0))
    assert (free.distance[free.success] > 2).any()
    assert (limited.distance <= 2).all()
    assert limited.violations == 0
    assert limited.success[free.success & (free.distance <= 2)].all()


@pytest.mark.parametrize(("use_logits", "backwards"), [(True, 2), (False, 1)])
def test_a_step_costs_two_backwards_and_a_sample_that_is_done_nothing(use_logits, backwards):
    """Not one for each of K classes; and a sample that needs k pairs is charged for k steps, whoever is beside it."""
    model = Mixed(classes=9)
    x, y = samples(model, 30)
    result = attack(model, x, y, use_logits=use_logits, max_fraction=0.6)
    pairs = (result.distance[result.success] / 2).long()
    assert len(pairs.unique()) > 1
    # One step is taken at the end, to see that the goal is reached; not where the last pair used up the share.
    assert (result.backwards[result.success] <= backwards * (pairs + 1)).all()
    assert (result.backwards[result.success] >= backwards * pairs).all()
    assert (result.forwards[result.success] <= pairs + 4).all()


@pytest.mark.parametrize("goal", ["untargeted", "random"])
def test_batch_size_and_order_do_not_matter(goal):
    """Alone, in fours, backwards: the same pixels."""
    model = Mixed()
    x, y = samples(model, 10)
    whole = attack(model, x, y, goal=goal, max_fraction=0.5)
    order = torch.arange(9, -1, -1)
    for result, rows in (
        (attack(model, x, y, goal=goal, max_fraction=0.5, batch_size=4), slice(None)),
        (attack(model, x[order], y[order], goal=goal, max_fraction=0.5, ids=order), order),
        (attack(model, x[3:4], y[3:4], goal=goal, max_fraction=0.5, ids=order[6:7]), slice(3, 4)),
    ):
        assert torch.equal(result.success, whole.success[rows])
        assert torch.equal(result.x_adv, whole.x_adv[rows])


@pytest.mark.parametrize("use_logits", [True, False])
@pytest.mark.parametrize(("shape", "classes"), [((40,), 2), ((4, 10), 3), ((3, 2, 7), 5)], ids=str)
def test_trap_06_any_number_of_classes_and_any_shape(shape, classes, use_logits):
    """No target is made up that the model has not; two classes are enough."""
    model = Mixed(shape, classes)
    x, y = samples(model, 20, shape)
    result = attack(model, x, y, use_logits=use_logits, max_fraction=1.0)
    assert result.success.float().mean() >= 0.8
    assert result.violations == 0


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation returns."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.values = max(self.values, tensor.numel())
        return result


def test_trap_06_large_pictures_need_no_matrix_of_all_pairs():
    """12,288 pixels: 1.5 10^8 pairs a sample, and no tensor of more than a few numbers a pixel."""
    model = Mixed((3, 64, 64), 4)
    x, y = samples(model, 2, (3, 64, 64))
    with Largest() as largest:
        result = attack(model, x, y, max_fraction=0.002)
    assert result.success.all()
    assert largest.values <= 16 * x.numel()
