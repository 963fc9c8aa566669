"""Each defect of a net, or of an attack, raises the flag that is its own, and no other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.workers.evaluation import probing


@pytest.fixture(scope="module")
def net():
    return probing.small_net()


@pytest.fixture(scope="module")
def job():
    return probing.job_of()


def flags(net, job):
    return probing.raised(probing.checklist_of(job, [probing.shard_of(net, job)]))


def test_a_clean_net_under_the_quick_suite_raises_none(net, job):
    items = probing.checklist_of(job, [probing.shard_of(net, job)])
    assert probing.raised(items) == set()
    assert [item.key for item in items if item.status == "fail"] == []
    assert next(item for item in items if item.key == "robustbench").status == "pass"


def test_logits_times_ten_thousand_are_saturated(net, job):
    assert flags(probing.After(net, lambda z: 1e4 * z), job) == {"saturation"}


def test_a_net_that_draws_its_answers_is_randomised(net, job):
    assert flags(probing.Before(net, lambda x: x + 0.1 * torch.randn_like(x)), job) == {"randomised"}


@pytest.mark.parametrize(
    "rounding",
    [lambda net: probing.Before(net, lambda x: (8 * x).round() / 8), lambda net: probing.After(net, torch.round)],
    ids=["pictures", "logits"],
)
def test_a_layer_that_rounds_has_a_gradient_that_says_other_things_than_the_output(net, job, rounding):
    assert flags(rounding(net), job) == {"gradient_mismatch"}


def test_a_straight_through_gradient_over_a_coarse_step_is_found_too(net, job):
    def stepped(x):
        return x + ((2 * x).round() / 2 - x).detach() * 1.0 - 0.9 * (x - x.detach())

    assert flags(probing.Before(net, stepped), job) == {"gradient_mismatch"}


def test_probabilities_are_told_from_logits(net, job):
    assert flags(probing.After(net, lambda z: z.softmax(dim=1)), job) == {"softmax_outputs"}


def test_a_batch_norm_on_the_statistics_of_its_batch_depends_on_the_batch(job):
    batch_norm = nn.BatchNorm2d(8, track_running_stats=False)
    assert flags(probing.small_net(norm=batch_norm), job) == {"batch_statistics"}


def test_a_batch_norm_that_refuses_to_leave_training_mode_depends_on_the_batch(job):
    class Awake(nn.BatchNorm2d):
        def forward(self, x):
            return nn.functional.batch_norm(x, None, None, self.weight, self.bias, training=True)

    assert flags(probing.small_net(norm=Awake(8)), job) == {"batch_statistics"}


def test_an_attack_of_one_short_step_is_incomplete(net, job):
    broken = type(job)()
    broken.CopyFrom(job)
    broken.evaluation.ClearField("attacks")
    broken.evaluation.attacks.append(probing.ONE_STEP)
    broken.evaluation.ClearField("curves")
    assert flags(net, broken) == {"incomplete"}


def test_a_net_whose_output_is_flat_has_no_gradient(net, job):
    class Steps(nn.Module):
        def forward(self, x):
            return 5.0 * nn.functional.one_hot(net(torch.zeros_like(x)).argmax(dim=1), 10)

    assert flags(Steps(), job) == {"zero_gradient"}


def test_a_net_that_climbs_its_own_confidence_optimises(net, job):
    class Climbing(nn.Module):
        def forward(self, x):
            with torch.enable_grad():
                point = x if x.requires_grad else x.detach().requires_grad_()
                top = net(point).amax(dim=1).sum()
                (slope,) = torch.autograd.grad(top, point, create_graph=True)
            return net(x - 0.001 * slope.detach())

    assert flags(Climbing(), job) == {"optimises_at_inference"}
