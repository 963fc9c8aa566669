"""The defenses that train on the worst examples of a ball: the loss of one batch against its formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workers.defenses import AdversarialWeightPerturbation, FgsmRandomStart, FreeAdversarialTraining, Mart, Trades
from workers.models import Signature, build
from workers.recipe import Round, Step

X = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])
INNER = {"epsilon": 0.1, "steps": 3, "step_size": 0.05, "epsilon_ramp": 0.5}
FAST = FgsmRandomStart(epsilon=0.1, step_size=0.05, epsilon_ramp=0.5)
TRADES = Trades(beta=6.0, **INNER)
MART = Mart(beta=5.0, **INNER)
AWP = AdversarialWeightPerturbation(base="pgd", gamma=0.01, beta=6.0, awp_warm_up=0.25, **INNER)
RAMPED = {"fgsm_rs": FAST, "trades": TRADES, "mart": MART, "awp": AWP, "awp on trades": replace(AWP, base="trades")}


def linear(seed=0):
    """A softmax regression in training mode."""
    return build(Signature("softmax_regression", (1, 4, 4), 3), seed=seed).train()


def step(progress=1.0, seed=5, **given):
    """A step of its own stream of random numbers."""
    return Step(progress=progress, generator=torch.Generator().manual_seed(seed), **given)


class Recorder(nn.Module):
    """A model that keeps what it is asked, and in which mode."""

    def __init__(self, model):
        super().__init__()
        self.model, self.asked = model, []

    def forward(self, x):
        self.asked.append((x.detach().clone(), self.training))
        return self.model(x)

    @property
    def crafted(self):
        """What was asked while crafting."""
        return [x for x, training in self.asked if not training]

    @property
    def learned(self):
        """What the loss was taken on."""
        return [x for x, training in self.asked if training]


def kl(p, q):
    """KL(p || q) of each sample."""
    return (p * (p / q).log()).sum(1)


@pytest.mark.parametrize("name", RAMPED)
@pytest.mark.parametrize(("progress", "radius"), [(0.25, 0.05), (0.5, 0.1), (0.9, 0.1)])
def test_examples_are_at_the_edge_of_the_ramped_ball(name, progress, radius):
    """The last batch that the loss is taken on; on the way there no point leaves ball or box."""
    model = Recorder(linear())
    RAMPED[name].loss(model, X, Y, step(progress))
    assert (model.learned[-1] - X).abs().max() == pytest.approx(radius, abs=1e-6)
    assert all((x >= 0).all() and (x <= 1).all() and (x - X).abs().max() <= radius + 1e-6 for x in model.crafted)


@pytest.mark.parametrize(("rollbacks", "size"), [(0, 0.05), (1, 0.025), (2, 0.0125)])
def test_fgsm_rs_takes_one_step_that_each_roll_back_halves(rollbacks, size):
    """From a uniform start, by alpha 2^-rollbacks along the sign of the slope, back into ball and box."""
    model = Recorder(linear())
    value = FAST.loss(model, X, Y, step(rollbacks=rollbacks))
    (start,), (x_adv,) = model.crafted, model.learned
    slope = (model.model(start).softmax(1) - F.one_hot(Y, 3)) @ model.model.network[1].weight
    low, high = (X - 0.1).clamp(min=0), (X + 0.1).clamp(max=1)
    torch.testing.assert_close(x_adv, (start + size * slope.sign().view_as(X)).clamp(low, high))
    torch.testing.assert_close(value, F.cross_entropy(model.model(x_adv), Y))
    assert 0.02 < (start - X).abs().mean() < 0.08


def test_trades_weighs_divergence_against_clean_loss():
    """J(x, y) + beta KL(p(x) || p(x_adv)), of the example at the end of the inner attack."""
    model = Recorder(linear())
    value = TRADES.loss(model, X, Y, step())
    clean, x_adv = model.learned
    assert torch.equal(clean, X)
    p, q = model.model(X).softmax(1), model.model(x_adv).softmax(1)
    torch.testing.assert_close(value, F.cross_entropy(model.model(X), Y) + 6 * kl(p, q).mean())


def test_trades_asks_for_the_clean_prediction_once_and_climbs_the_divergence_from_it():
    """1 + K forwards of crafting; the start is x + 0.001 N(0, I); each step has the sign of the divergence's slope."""
    model = Recorder(linear())
    TRADES.loss(model, X, Y, step())
    clean, *points = model.crafted
    assert len(points) == 3
    assert torch.equal(clean, X)
    off = points[0] - X
    assert 0.0005 < off.std() < 0.0015
    p, W = model.model(X).softmax(1), model.model.network[1].weight
    for x, then in zip(points, [*points[1:], model.learned[1]], strict=True):
        slope = ((model.model(x).softmax(1) - p) @ W).view_as(X)
        low, high = (X - 0.1).clamp(min=0), (X + 0.1).clamp(max=1)
        torch.testing.assert_close(then, (x + 0.05 * slope.sign()).clamp(low, high))


def test_mart_boosts_the_cross_entropy_and_looks_at_what_is_misclassified():
    """-log p_y(x_adv) - log(1 - max_{k != y} p_k(x_adv)) + beta KL(p(x) || p(x_adv)) (1 - p_y(x))."""
    model = Recorder(linear())
    value = MART.loss(model, X, Y, step())
    clean, x_adv = model.learned
    assert torch.equal(clean, X)
    p, q = model.model(X).softmax(1), model.model(x_adv).softmax(1)
    rows = torch.arange(6)
    rival = (q - 2 * F.one_hot(Y, 3)).amax(1)
    boosted = -q[rows, Y].log() - (1 - rival).log()
    torch.testing.assert_close(value, (boosted + 5 * kl(p, q) * (1 - p[rows, Y])).mean())


def test_mart_stays_finite_where_another_class_is_certain():
    """In float32 1 - p is 0 there; the sum of all other p is not."""
    model = linear()
    with torch.no_grad():
        model.network[1].weight.mul_(300)
    value = MART.loss(model, X, Y, step())
    value.backward()
    assert value.isfinite()
    assert model.network[1].weight.grad.isfinite().all()


@pytest.mark.parametrize("base", ["pgd", "trades"])
def test_awp_takes_the_loss_at_weights_that_were_moved_uphill(base):
    """v = gamma ||w|| g / ||g|| for each matrix, g the slope of the loss at the examples; vectors stay."""
    model = Recorder(linear())
    W, b = model.model.network[1].weight, model.model.network[1].bias
    before = W.detach().clone(), b.detach().clone()
    value = replace(AWP, base=base).loss(model, X, Y, step())
    x_adv = model.learned[-1]

    def ρ(weight):
        z, z_adv = F.linear(X.flatten(1), weight, b), F.linear(x_adv.flatten(1), weight, b)
        if base == "pgd":
            return F.cross_entropy(z_adv, Y)
        return F.cross_entropy(z, Y) + 6 * kl(z.softmax(1), z_adv.softmax(1)).mean()

    (g,) = torch.autograd.grad(ρ(start := before[0].clone().requires_grad_()), start)
    worst = before[0] + 0.01 * before[0].norm() * g / g.norm()
    torch.testing.assert_close(W.detach(), worst)
    assert torch.equal(b, before[1])
    torch.testing.assert_close(value, ρ(worst))
    assert value > ρ(before[0])


@pytest.mark.parametrize(("progress", "moved"), [(0.2, False), (0.25, True)])
def test_awp_gives_the_weights_back_before_they_are_stepped(progress, moved):
    """To the bit, with the gradient that was taken beside them; during the warm-up they do not move at all."""
    model = build(Signature("wong_cnn", (1, 4, 4), 3), seed=0).train()
    before, now = {name: w.detach().clone() for name, w in model.named_parameters()}, step(progress)
    AWP.loss(model, X, Y, now).backward()
    matrices = [name for name, w in model.named_parameters() if w.ndim > 1]
    assert all(torch.equal(w, before[name]) != (moved and name in matrices) for name, w in model.named_parameters())
    AWP.after_backward(model, now)
    assert all(torch.equal(w, before[name]) and w.grad is not None for name, w in model.named_parameters())
    assert now.memory == {}


def test_awp_teaches_batch_normalisation_once():
    """The search for the perturbation leaves the statistics alone."""
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3)).train()
    AWP.loss(model, X, Y, step())
    assert model[1].num_batches_tracked == 1


def test_free_moves_the_perturbation_by_the_gradient_of_its_one_backward_pass():
    """delta <- clip(delta + alpha sign(grad_x J(x + delta)), -epsilon, epsilon), from 0 on, kept between batches."""
    model = Recorder(linear())
    free = FreeAdversarialTraining(epsilon=0.1, batch_replays=3, step_size=0.06, epsilon_ramp=0.0)
    memory, δ = {}, torch.zeros_like(X)
    for _ in range(3):
        now = step(memory=memory)
        value = free.loss(model, X, Y, now)
        value.backward()
        free.after_backward(model, now)
        point = (X + δ).clamp(0, 1)
        assert torch.equal(model.asked[-1][0], point)
        torch.testing.assert_close(value, F.cross_entropy(model.model(point), Y))
        slope = ((model.model(point).softmax(1) - F.one_hot(Y, 3)) @ model.model.network[1].weight).view_as(X)
        δ = (δ + 0.06 * slope.sign()).clamp(-0.1, 0.1)
        torch.testing.assert_close(memory, {"perturbation": δ})


def test_free_keeps_a_row_that_a_smaller_batch_has_no_use_for():
    """Batches of 5, 6 and 5: a row of 0 joins, waits, and is there again."""
    model, memory = linear(), {}
    free = FreeAdversarialTraining(epsilon=0.1, batch_replays=1, step_size=0.02, epsilon_ramp=0.0)
    kept = []
    for count in (5, 6, 5):
        now = step(memory=memory)
        free.loss(model, X[:count], Y[:count], now).backward()
        free.after_backward(model, now)
        kept.append(memory["perturbation"])
    assert [len(δ) for δ in kept] == [5, 6, 6]
    assert kept[1][5].abs().max() == pytest.approx(0.02)
    assert torch.equal(kept[2][5], kept[1][5])
    assert not torch.equal(kept[2][:5], kept[1][:5])


@pytest.mark.parametrize(("epochs", "rounds"), [(8, 2), (9, 3), (1, 1)])
def test_free_has_fewer_epochs_for_its_replays(epochs, rounds):
    """The steps stay about as many as those of standard training."""
    free = FreeAdversarialTraining(epsilon=0.1, batch_replays=4, step_size=0.1, epsilon_ramp=0.0)
    assert free.rounds(epochs) == (Round(rounds),)
    assert free.replays == 4
    assert not free.divisible
