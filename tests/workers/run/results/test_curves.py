"""Accuracy against epsilon, for attacks that look for the shortest perturbation."""

from __future__ import annotations

from sparring.v1 import attacks_pb2, jobs_pb2

from workers.run import shards

RADII = [0.0, 0.5, 1.0, 50.0]


def test_one_run_gives_the_whole_curve_of_a_minimum_norm_attack(laboratory, evaluation, monkeypatch):
    """What is found without a limit says what would have been found within any radius."""
    deepfool = attacks_pb2.DeepFool(epsilon=1000, steps=20, overshoot=0.02, candidates=10, norm=attacks_pb2.NORM_L2)
    goal = attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted())
    job = evaluation(laboratory.model("softmax_regression"), attacks=False)
    curve = jobs_pb2.EpsilonCurve(attack=attacks_pb2.Attack(deepfool=deepfool, goal=goal), epsilons=RADII)
    job.evaluation.curves.extend([curve])
    plans, honest = [], shards.run_attack

    def noted(model, x, y, plan, **options):
        plans.append(plan.epsilon)
        return honest(model, x, y, plan, **options)

    monkeypatch.setattr(shards, "run_attack", noted)
    result = laboratory.result(job)
    assert set(plans) == {50.0}, "the widest only, once for each shard"
    points = sorted((row for row in result.rows if row.attack == "deepfool"), key=lambda row: row.epsilon)
    assert [row.epsilon for row in points] == RADII
    accuracy = [row.robust_accuracy.value for row in points]
    assert accuracy == sorted(accuracy, reverse=True)
    assert accuracy[0] == points[0].clean_accuracy.value
    assert accuracy[-1] == 0
    assert 0 < accuracy[1] < 1
    assert points[-1].backwards > 0
    assert points[0].backwards == 0
    assert sum(row.violations for row in result.rows) == 0
