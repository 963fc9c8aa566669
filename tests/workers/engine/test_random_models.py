"""Models that answer differently each time."""

from __future__ import annotations

import sys

import torch
from torch import nn

from workers.engine.attack import AttackPlan, run_attack


class Noisy(nn.Module):
    """Adds noise of its own to the logits, whatever mode it is in."""

    def __init__(self, net) -> None:
        super().__init__()
        self.net = net

    def forward(self, x):
        logits = self.net(x)
        return logits + 0.5 * torch.randn_like(logits)


PGD = AttackPlan(
    name="pgd",
    epsilon=0.02,
    parameters={"steps": 8, "step_size": 0.005, "restarts": 2, "random_start": True, "loss": "margin"},
)


def test_trap_11_a_random_model_leaves_no_trace_on_the_runs_after_it(small_net, pictures):
    """No counter, no trace function, no seed outlives a run: what follows is what it would have been."""

    def run(model):
        return run_attack(model, *pictures, PGD, sample_ids=torch.arange(32), seed=4, batch_size=16)

    def trace(*_):
        return None

    before = run(small_net)
    sys.settrace(trace)
    try:
        first, again = run(Noisy(small_net)), run(Noisy(small_net))
        assert sys.gettrace() is trace
    finally:
        sys.settrace(None)
    assert torch.equal(first.x_adv, again.x_adv), "its noise is keyed by the job's seed, too"
    assert not torch.equal(first.x_adv, before.x_adv)
    after = run(small_net)
    for name in ("x_adv", "prediction", "success", "forwards", "backwards", "zero_gradient"):
        assert torch.equal(getattr(before, name), getattr(after, name))
