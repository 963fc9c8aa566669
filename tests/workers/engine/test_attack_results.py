"""What the result says of each sample: counted or not, broken or not, how far, at what cost."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.attacks import ATTACKS, AttackEntry
from workers.engine.attack import AttackPlan, GoalSpec, run_attack


def plan(name="bim", epsilon=0.05, steps=10, goal="untargeted", label=None, **parameters):
    if name != "fgsm":
        parameters = {"steps": steps, "step_size": 2.5 * epsilon / steps, **parameters}
    if name == "pgd":
        parameters = {"restarts": 1, "random_start": True, "loss": "cross_entropy", **parameters}
    return AttackPlan(name=name, epsilon=epsilon, parameters=parameters, goal=GoalSpec(kind=goal, label=label))


def run(model, x, y, attack, **options):
    return run_attack(
        model, x, y, attack, **{"sample_ids": torch.arange(len(x)), "seed": 0, "batch_size": 16, **options}
    )


def test_untargeted_samples_that_are_wrong_already_are_left_alone(small_net, pictures):
    """Not attacked, no success, a copy of the input; robust accuracy counts them as broken."""
    x, y = pictures
    y = torch.where(torch.arange(32) % 3 == 0, (y + 1) % 6, y)
    result = run(small_net, x, y, plan())
    wrong = torch.arange(32) % 3 == 0
    assert torch.equal(result.attacked, ~wrong)
    assert torch.equal(result.x_adv[wrong], x[wrong])
    assert not result.success[wrong].any()
    assert result.distance[wrong].eq(0).all()
    assert torch.equal(result.prediction[wrong], result.clean_prediction[wrong])
    assert result.backwards[wrong].eq(0).all()
    assert ((result.prediction == y).logical_not() == (wrong | result.success)).all()


def test_samples_of_the_target_class_are_left_out(small_net, pictures):
    """To turn a 4 into a 4 is no attack."""
    x, y = pictures
    result = run(small_net, x, y, plan(goal="label", label=4))
    assert torch.equal(result.attacked, y != 4)
    assert torch.equal(result.x_adv[y == 4], x[y == 4])
    assert not result.success[y == 4].any()
    assert result.target.eq(4).all()


def test_a_sample_that_answers_its_target_already_is_a_success_as_it_is(small_net, pictures):
    """The model is wrong, and wrong in the wanted way: nothing is left to do."""
    x, prediction = pictures
    result = run(small_net, x, (prediction + 1) % 6, plan(goal="label", label=int(prediction[0])))
    there = prediction == prediction[0]
    assert result.success[there].all()
    assert torch.equal(result.x_adv[there], x[there])
    assert result.distance[there].eq(0).all()


def test_targets_are_chosen_as_the_goal_says(small_net, pictures):
    """Least likely by the clean logits, random among the wrong, none without a target."""
    x, y = pictures
    with torch.no_grad():
        least = small_net(x).argmin(dim=1)
    assert torch.equal(run(small_net, x, y, plan("iterative_least_likely")).target, least)
    assert torch.equal(run(small_net, x, y, plan(goal="least_likely")).target, least)
    assert (run(small_net, x, y, plan(goal="random")).target != y).all()
    assert run(small_net, x, y, plan()).target.eq(-1).all()


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd"])
@pytest.mark.parametrize("goal", ["untargeted", "label"])
def test_trap_14_success_is_what_the_goal_says(small_net, pictures, name, goal):
    """Checked here by a forward of our own, for both kinds of goal."""
    x, y = pictures
    result = run(small_net, x, y, plan(name, 0.1, goal=goal, label=0 if goal == "label" else None))
    with torch.no_grad():
        probability = small_net(result.x_adv).softmax(dim=1)
    prediction = probability.argmax(dim=1)
    wanted = prediction == 0 if goal == "label" else prediction != y
    assert torch.equal(result.success, wanted & result.attacked)
    assert torch.equal(result.prediction, prediction)
    assert torch.allclose(result.confidence, probability.amax(dim=1), atol=1e-6)
    assert 0 < result.success.sum() <= result.attacked.sum()


@pytest.mark.parametrize("goal", ["untargeted", "random"])
@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd"])
def test_trap_16_a_failure_returns_the_best_try_and_not_the_clean_image(small_net, pictures, name, goal):
    """Its loss is worse for the model than the clean one's; training on it is no standard training in disguise."""
    x, y = pictures
    result = run(small_net, x, y, plan(name, 0.004, goal=goal))
    failed = result.attacked & ~result.success
    assert failed.sum() > 8
    assert (result.distance[failed] > 0.002).all()
    label, sign = (y, -1) if goal == "untargeted" else (result.target, 1)
    with torch.no_grad():
        clean, now = (small_net(p).softmax(1).gather(1, label[:, None]).squeeze(1) for p in (x, result.x_adv))
    assert (sign * (now - clean)[failed] > 0).all()


def test_trap_16_the_best_point_of_a_run_is_kept_not_the_last():
    """A loss with a hill that the steps jump over: the last point is worse than one in the middle."""

    class Hill(nn.Module):
        """The label's rival is strongest at x = 0.6, and never strong enough."""

        def forward(self, x):
            rival = -1 - (x[:, :1] - 0.6).abs()
            return torch.cat([torch.zeros_like(rival), rival], dim=1)

    x, y = torch.tensor([[0.5]]), torch.tensor([0])
    climb = AttackPlan(name="bim", epsilon=0.5, parameters={"steps": 4, "step_size": 0.11})
    for survivors_only in (True, False):
        result = run(Hill(), x, y, climb, survivors_only=survivors_only)  # 0.61, 0.50, 0.61, 0.50
        assert result.x_adv.item() == pytest.approx(0.61)
        assert not result.success.item()
        assert result.forwards.item() == 1 + 4 + 1  # the clean pass is the first step's; the last point was regretted


def test_propagations_are_counted_per_sample(small_net, pictures):
    """The sum over samples is the number of rows that went through the model."""
    x, y = pictures
    y = torch.where(torch.arange(32) % 5 == 0, (y + 1) % 6, y)
    for attack in (plan("fgsm"), plan(), plan("pgd", restarts=3), plan("iterative_least_likely")):
        for survivors_only in (True, False):
            rows = []
            handle = small_net.register_forward_hook(lambda module, inputs, output, rows=rows: rows.append(len(output)))
            result = run(small_net, x, y, attack, survivors_only=survivors_only)
            handle.remove()
            assert result.forwards.sum().item() == sum(rows)


def test_cost_is_that_of_the_algorithm(small_net, pictures):
    """K steps from the clean input: K + 1 forwards, as the clean pass is the first; from a random start one more."""
    x, y = pictures
    bim = run(small_net, x, y, plan(epsilon=1e-4), survivors_only=False)
    assert bim.backwards.eq(10).all()
    assert bim.forwards.eq(11).all()
    fgsm = run(small_net, x, y, plan("fgsm", 1e-4))
    assert fgsm.backwards.eq(1).all()
    assert fgsm.forwards.eq(2).all()
    pgd = run(small_net, x, y, plan("pgd", 1e-4))
    assert pgd.backwards.eq(10).all()
    assert (pgd.forwards >= 12).all()


def test_survivors_alone_are_worked_on(small_net, pictures):
    """What is broken after a few steps costs a fraction of what is not."""
    result = run(small_net, *pictures, plan(epsilon=0.2, steps=100), batch_size=32)
    assert result.success.all()
    assert result.backwards.min() == 4
    assert result.backwards.max() < 30


def test_success_does_not_fall_with_epsilon_steps_and_restarts(small_net, pictures):
    """Zero is clean, a little is little, everything is enough."""

    def rate(**changes):
        return run(small_net, *pictures, plan("pgd", **changes)).success.float().mean().item()

    by_epsilon = [rate(epsilon=epsilon) for epsilon in (0, 0.005, 0.01, 0.02, 0.05, 0.5)]
    assert by_epsilon == sorted(by_epsilon)
    assert (by_epsilon[0], by_epsilon[-1]) == (0, 1)
    assert 0.1 < by_epsilon[2] < 0.9
    weak = {"epsilon": 0.06, "steps": 1, "step_size": 0.005}  # the start decides
    by_restarts = [rate(**weak, restarts=restarts) for restarts in (1, 2, 5, 20)]
    assert by_restarts == sorted(by_restarts)
    assert by_restarts[0] < by_restarts[-1]
    step = {"epsilon": 0.012, "step_size": 0.002, "random_start": False}
    by_steps = [rate(steps=steps, **step) for steps in (1, 2, 5, 20)]
    assert by_steps == sorted(by_steps)
    assert by_steps[0] < by_steps[-1]


def test_restarts_from_the_clean_input_would_all_be_the_same_run(small_net, pictures):
    """So there is one."""
    result = run(small_net, *pictures, plan("pgd", 0.004, random_start=False, restarts=50), survivors_only=False)
    assert result.backwards.eq(10).all()


def test_seconds_are_measured(small_net, pictures):
    """Of the whole call, in seconds."""
    assert 0 < run(small_net, *pictures, plan()).seconds < 60


@pytest.mark.parametrize("overshoot", [{"add": 0.2}, {"add": 0.04, "grey": 0.98}], ids=["ball", "box"])
def test_a_result_outside_ball_or_box_is_a_violation_and_no_success(small_net, pictures, monkeypatch, overshoot):
    """An attack with a bug must not pass for a strong one, so every result is checked."""
    x, y = pictures
    if "grey" in overshoot:
        x = torch.full_like(x, overshoot["grey"])
    reckless = AttackEntry(lambda model, x, goal, ball: x + overshoot["add"] + 0 * goal.gradient(model, x))
    monkeypatch.setitem(ATTACKS, "fgsm", reckless)
    with torch.no_grad():
        y = small_net(x).argmax(1)
    target = (int(y[0]) + 1) % 6
    for attack in (plan("fgsm", 0.05), plan("fgsm", 0.05, goal="label", label=target)):
        result = run(small_net, x, y, attack)
        assert result.violations == result.attacked.sum() > 0
        assert not result.success.any()
