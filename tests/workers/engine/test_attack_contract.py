"""What an attack may not disturb, and what it must hand back."""

from __future__ import annotations

import copy
import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn

from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.failures import Interrupted

ITERATED = {"steps": 5, "step_size": 0.05}
PLANS = {
    "fgsm": AttackPlan(name="fgsm", epsilon=0.1),
    "fgsm l2 targeted": AttackPlan(name="fgsm", epsilon=0.5, norm="l2", goal=GoalSpec(kind="label", label=1)),
    "bim": AttackPlan(name="bim", epsilon=0.1, parameters=ITERATED),
    "least likely": AttackPlan(name="iterative_least_likely", epsilon=0.1, parameters=ITERATED),
    "pgd": AttackPlan(
        name="pgd",
        epsilon=0.5,
        norm="l2",
        parameters={**ITERATED, "restarts": 2, "random_start": True, "loss": "margin"},
        goal=GoalSpec(kind="random"),
    ),
}
every_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
IDS = torch.arange(7)


@pytest.fixture
def samples(fussy):
    """Seven samples, of which the model is right about five."""
    x = torch.rand(7, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = copy.deepcopy(fussy).eval()(x).argmax(dim=1)
    y[5:] = (y[5:] + 1) % 5
    return x, y


def run(model, samples, plan, **options):
    return run_attack(model, *samples, plan, **{"sample_ids": IDS, "seed": 3, "batch_size": 4, **options})


def state_of(model, samples):
    """Everything that an attack could disturb, bit for bit."""
    return {
        "modes": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grads": [None if p.grad is None else (id(p.grad), p.grad.clone()) for p in model.parameters()],
        "weights": [(id(p), p.data_ptr(), p.stride(), p.clone()) for p in model.parameters()],
        "buffers": [(name, id(buffer), buffer.clone()) for name, buffer in model.named_buffers()],
        "samples": [value.clone() for value in samples],
        "x.requires_grad": samples[0].requires_grad,
        "torch": torch.get_rng_state(),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002 - the global state is what is to be left alone
        "python": random.getstate(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")),
        "threads": torch.get_num_threads(),
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def assert_undisturbed(before, after):
    assert [name for name in before if not same(before[name], after[name])] == []


@every_plan
def test_trap_03_04_10_12_everything_is_as_it_was(fussy, samples, plan):
    """Modes per module, p.grad, buffers, random states, grad mode, and the inputs."""
    before = state_of(fussy, samples)
    run(fussy, samples, plan)
    assert_undisturbed(before, state_of(fussy, samples))


class Stop:
    """A monitor that has enough at its nth tick."""

    def __init__(self, at):
        self.left = at

    def tick(self, fraction, message=""):
        self.left -= 1
        if self.left < 0:
            raise Interrupted

    def metric(self, name, value, step):
        raise AssertionError("an attack reports no metric")


@every_plan
@pytest.mark.parametrize("at", [0, 1])
def test_trap_04_everything_is_as_it_was_after_an_interruption(fussy, samples, plan, at):
    """Cancelled before the first gradient, and in the middle."""
    before = state_of(fussy, samples)
    with pytest.raises(Interrupted):
        run(fussy, samples, plan, monitor=Stop(at))
    assert_undisturbed(before, state_of(fussy, samples))


@pytest.mark.parametrize("at", [1, 2, 6])
def test_trap_04_everything_is_as_it_was_after_the_model_raised(fussy, samples, at):
    """In the clean pass, in the first gradient, later."""
    calls = iter(range(1, 100))

    def fail(module, inputs):
        if next(calls) == at:
            raise ZeroDivisionError

    handle = fussy.drop.register_forward_pre_hook(fail)
    before = state_of(fussy, samples)
    with pytest.raises(ZeroDivisionError):
        run(fussy, samples, PLANS["pgd"])
    assert_undisturbed(before, state_of(fussy, samples))
    handle.remove()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_works_in_every_grad_mode_of_the_caller(small_net, pictures, context):
    """An attack needs gradients, whatever its caller has switched off."""
    x, y = pictures
    plan = AttackPlan(name="bim", epsilon=0.3, parameters=ITERATED)
    outside = run_attack(small_net, x, y, plan, sample_ids=torch.arange(32), seed=0, batch_size=32)
    with context():
        inside = run_attack(small_net, x, y, plan, sample_ids=torch.arange(32), seed=0, batch_size=32)
    assert torch.equal(outside.x_adv, inside.x_adv)
    assert not inside.x_adv.requires_grad


def test_trap_24_autocast_of_the_caller_does_not_reach_the_attack(small_net, pictures):
    """bfloat16 would move pixels by half a grey level; points, projection and verdict are float32."""
    x, y = pictures
    plan = AttackPlan(name="bim", epsilon=0.3, parameters=ITERATED)
    outside = run_attack(small_net, x, y, plan, sample_ids=torch.arange(32), seed=0, batch_size=32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = run_attack(small_net, x, y, plan, sample_ids=torch.arange(32), seed=0, batch_size=32)
    assert torch.equal(outside.x_adv, inside.x_adv)
    assert torch.equal(outside.confidence, inside.confidence)


@every_plan
def test_trap_05_16_21_results_are_valid_detached_and_not_aliased(fussy, samples, plan):
    """Inside ball and box, no NaN, float32, a tensor of its own, for every sample whether it broke or not."""
    result = run(fussy, samples, plan)
    x, x_adv = samples[0], result.x_adv
    assert result.violations == 0
    assert x_adv.dtype == torch.float32
    assert x_adv.shape == x.shape
    assert not x_adv.requires_grad
    assert x_adv.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    assert (result.distance <= plan.epsilon + 1e-6).all()
    assert ((x_adv >= 0) & (x_adv <= 1)).all()
    change = (x_adv - x).flatten(1)
    measured = change.abs().amax(1) if plan.norm == "linf" else change.norm(dim=1)
    assert torch.allclose(result.distance, measured, atol=1e-6)


def test_trap_21_epsilon_zero_returns_a_copy(small_net, pictures):
    """Not the input itself, which the caller may go on to change."""
    x, y = pictures
    plan = AttackPlan(name="fgsm", epsilon=0.0)
    result = run_attack(small_net, x, y, plan, sample_ids=torch.arange(32), seed=0, batch_size=32)
    assert torch.equal(result.x_adv, x)
    assert result.x_adv.data_ptr() != x.data_ptr()
    assert not result.success.any()


def test_trap_12_19_the_model_is_called_whole_and_in_eval_mode(small_net, pictures):
    """Hooks on the container run, no module ever sees train mode, and no parameter asks for a gradient."""
    x, y = pictures
    modes, model = [], small_net.train()

    def note(module, inputs):
        modes.append([m.training for m in module.modules()] + [p.requires_grad for p in module.parameters()])

    model.register_forward_pre_hook(note)
    plan = AttackPlan(name="fgsm", epsilon=0.1)
    run_attack(model, x, y, plan, sample_ids=torch.arange(32), seed=0, batch_size=32)
    assert len(modes) == 2
    assert not any(any(seen) for seen in modes)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_trap_03_no_weight_gradient_is_ever_computed(small_net, pictures):
    """The input's gradient is all that an attack pays for."""
    x, y = pictures
    seen = []
    for parameter in small_net.parameters():
        parameter.register_hook(seen.append)
    run_attack(small_net, x, y, PLANS["pgd"], sample_ids=torch.arange(32), seed=0, batch_size=32)
    assert seen == []


def test_buffers_that_a_model_rebinds_come_back(samples):
    """`self.buffer = new` inside forward replaces the tensor, not only its content."""

    class Rebinding(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Module()
            self.inner.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.inner.count = self.inner.count + 1
            return x.flatten(1)[:, :5]

    model = Rebinding()
    count = model.inner.count
    run(model, (samples[0], samples[0].flatten(1)[:, :5].argmax(1)), PLANS["fgsm"])
    assert model.inner.count is count
    assert count.item() == 0


class Listener:
    """A monitor that remembers."""

    def __init__(self):
        self.fractions, self.messages = [], set()

    def tick(self, fraction, message=""):
        self.fractions.append(fraction)
        self.messages.add(message)

    def heard(self):
        return len(self.fractions)

    def metric(self, name, value, step):
        raise AssertionError("an attack reports no metric")


@pytest.mark.parametrize("survivors_only", [True, False])
@every_plan
def test_the_monitor_hears_every_gradient_and_fractions_rise_to_one(fussy, samples, plan, survivors_only, monkeypatch):
    """A tick per batch, per gradient, and at the end; so a cancelled job stops within one step."""
    listener, gradients, grad = Listener(), [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: gradients.append(listener.heard()) or grad(*a, **k))
    run(fussy, samples, plan, monitor=listener, survivors_only=survivors_only)
    assert len(gradients) > 0
    assert all(now > before for before, now in itertools.pairwise(gradients))
    assert listener.fractions == sorted(listener.fractions)
    assert listener.fractions[0] == 0
    assert listener.fractions[-1] == 1
    assert listener.messages == {plan.name}


def test_the_monitor_hears_of_batches_in_which_nothing_is_attacked(small_net, pictures):
    """A model that is wrong everywhere leaves no gradient to tick at, and must be stoppable all the same."""
    x, y = pictures
    listener = Listener()
    plan = AttackPlan(name="fgsm", epsilon=0.1)
    ids = torch.arange(32)
    run_attack(small_net, x, (y + 1) % 6, plan, sample_ids=ids, seed=0, batch_size=8, monitor=listener)
    assert listener.fractions == [0, 0.25, 0.5, 0.75, 1]
