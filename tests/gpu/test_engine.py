"""The engine on a GPU finds what it finds on a CPU, with graphs what it finds without, and gives everything back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.engine.propagate import Graphed

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

PGD = {"steps": 20, "step_size": 0.005, "restarts": 2, "random_start": True, "loss": "cross_entropy"}
PLANS = [
    AttackPlan(name="fgsm", epsilon=0.03),
    AttackPlan(name="bim", epsilon=0.03, parameters={"steps": 20, "step_size": 0.004}),
    AttackPlan(name="pgd", epsilon=0.03, parameters=PGD),
    AttackPlan(name="pgd", epsilon=0.5, norm="l2", parameters={**PGD, "step_size": 0.1, "loss": "margin"}),
    AttackPlan(name="pgd", epsilon=0.03, parameters=PGD, goal=GoalSpec(kind="random")),
]
every_plan = pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p.name}-{p.norm}-{p.goal.kind}")


def make_net() -> nn.Sequential:
    torch.manual_seed(3)
    features = (nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU())
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(32 * 9, 10)).eval()


@pytest.fixture
def net():
    return make_net().cuda()


@pytest.fixture
def samples():
    """96 noise pictures (96, 3, 12, 12) and the labels that the net gives them on the CPU."""
    x = torch.rand(96, 3, 12, 12, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return x, make_net()(x).argmax(dim=1)


def run(net, x, y, plan, **changes):
    given = {"sample_ids": torch.arange(len(x)), "seed": 1, "batch_size": 32} | changes
    return run_attack(net, x, y, plan, **given)


@every_plan
def test_a_gpu_breaks_what_a_cpu_breaks(net, samples, plan):
    """But for samples on the edge; success rates within 3 points, noise the same."""
    gpu, cpu = run(net, *samples, plan), run(make_net(), *samples, plan)
    assert gpu.x_adv.device.type == "cpu"
    assert gpu.violations == 0
    assert (gpu.success != cpu.success).float().mean() <= 0.03
    assert torch.equal(gpu.attacked, cpu.attacked)


@every_plan
@pytest.mark.parametrize("batch_size", [96, 32, 5])
def test_graphs_change_nothing_but_the_time(net, samples, plan, batch_size):
    """Full batches have the same bytes; sizes that are rounded up may end in other last bits, and break the same."""
    graphed = Graphed(net)
    plain = run(net, *samples, plan, batch_size=batch_size, survivors_only=False)
    replayed = run(net, *samples, plan, batch_size=batch_size, survivors_only=False, propagator=graphed)
    again = run(net, *samples, plan, batch_size=batch_size, survivors_only=False, propagator=graphed)
    assert torch.equal(replayed.x_adv, again.x_adv)
    if batch_size in {96, 32} and plan.goal.kind == "untargeted":
        assert torch.equal(plain.x_adv, replayed.x_adv)
    assert (plain.success != replayed.success).float().mean() <= 0.03
    assert replayed.violations == 0


def test_graphs_follow_a_batch_that_shrinks(net, samples):
    """Survivors only, so that many sizes come up."""
    plan = AttackPlan(name="pgd", epsilon=0.02, parameters={**PGD, "steps": 60, "restarts": 3})
    plain, graphed = run(net, *samples, plan), run(net, *samples, plan, propagator=Graphed(net))
    assert 0.2 < plain.success.float().mean() < 1
    assert (plain.success != graphed.success).float().mean() <= 0.05


def test_what_can_not_be_captured_is_asked_eagerly(net, samples):
    """A model that looks at a number of its own decides in Python, which no graph can hold."""

    class Waiting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net

        def forward(self, x):
            return self.inner(x) if x.sum().item() > 0 else self.inner(1 - x)

    model = Waiting()
    graphed = Graphed(model)
    result = run(model, *samples, PLANS[1], propagator=graphed)
    assert result.success.float().mean() > 0.5
    assert set(graphed._graphs.values()) == {None}


def test_weights_that_change_are_seen_by_graphs_that_were_captured_before(net, samples):
    """Graphs read the parameters where they lie."""
    graphed = Graphed(net)
    run(net, *samples, PLANS[1], propagator=graphed)
    with torch.no_grad():
        net[-1].weight.neg_()
        net[-1].bias.neg_()
    changed = run(net, *samples, PLANS[1], propagator=graphed)
    assert torch.equal(changed.clean_prediction, run(net, *samples, PLANS[1]).clean_prediction)
    assert not torch.equal(changed.clean_prediction, samples[1])


def test_the_model_is_given_back_as_it_was(net, samples):
    """Modes, gradients and buffers, with graphs too."""
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    run(net, *samples, PLANS[2], propagator=Graphed(net))
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
