"""Every attack of the table on a GPU: sound results, by graphs too, and about those of a CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.workers.battery.cases import CASES
from workers.engine.attack import run_attack
from workers.engine.fastest import fastest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

RADIUS = {"linf": 0.1, "l2": 1.0, "l1": 8.0, "l0": 20.0}


def make_net() -> nn.Sequential:
    torch.manual_seed(3)
    features = (nn.Conv2d(1, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*features, nn.Linear(16 * 9, 6)).eval()


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "linear_nudge"], ids=str)
def test_an_attack_on_a_gpu_is_sound_and_finds_what_it_finds_on_a_cpu(case):
    """In ball and box, judged by a forward of our own; rates apart by no more than samples on the edge."""
    net, cpu = make_net().cuda(), make_net()
    x = torch.rand(24, 1, 12, 12, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        y = cpu(x).argmax(dim=1)
    found = case.run(cpu, x, y, RADIUS[case.norm], label=2, batch_size=24)
    plan = case.plan(RADIUS[case.norm], label=2)
    for propagator in (None, fastest(net)):
        result = run_attack(net, x, y, plan, sample_ids=torch.arange(24), seed=1, batch_size=24, propagator=propagator)
        assert result.violations == 0
        assert result.x_adv.device.type == "cpu"
        with torch.no_grad():
            prediction = net(result.x_adv.cuda()).argmax(dim=1).cpu()
        assert (prediction == result.prediction).float().mean() >= 0.9
        assert torch.equal(result.attacked, found.attacked)
        assert (result.success.sum() - found.success.sum()).abs() <= 5
