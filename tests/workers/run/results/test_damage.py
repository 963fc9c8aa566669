"""An attack with a bug: whatever it breaks is counted, warned of and listed, and never passes for a success."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from google.rpc.status_pb2 import Status
from safetensors.torch import load

from workers.attacks import ATTACKS, AttackEntry
from workers.evaluation.proof import KINDS
from workers.lease import Failed
from workers.run import shards


def inspected(laboratory, job):
    """The row, the counts, the warnings and the successes of a job that ran to its end."""
    result = laboratory.result(job)
    document = json.loads(laboratory.file(result, "manifest"))
    violations = document["checks"]["violations"]
    row = result.rows[1]
    assert row.violations == sum(violations.values())
    assert json.loads(laboratory.file(result, "metrics"))["rows"][1]["violations"] == row.violations
    found = {kind: count for kind, count in violations.items() if count}
    assert bool(found) == any(warning.startswith("Error: ") for warning in result.warnings)
    return found, result.warnings, load(laboratory.file(result, "adversarial"))


def nudge(x, ball):
    return x + 2 * ball.epsilon * torch.where(x > 0.5, -1.0, 1.0)


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (lambda x, ball: nudge(x, ball).clamp(0, 1), "ball"),
        (lambda x, ball: x + ball.epsilon * torch.where(x > 0.5, 1.0, -1.0), "box"),
    ],
    ids=["ball", "box"],
)
def test_an_attack_that_leaves_ball_or_box_is_caught(laboratory, attack, monkeypatch, broken, kind):
    entry = AttackEntry(lambda model, x, goal, ball: broken(x, ball) + 0 * goal.gradient(model, x))
    monkeypatch.setitem(ATTACKS, "fgsm", entry)
    found, warnings, rows = inspected(laboratory, attack(laboratory.model(), "fgsm"))
    attacked = int((rows["clean_prediction"] == rows["label"]).sum())
    assert found == {kind: attacked}
    assert f"({kind} {attacked}; FGSM" in warnings[0]
    assert attacked > 50
    assert not rows["success"].any()


def test_an_attack_that_makes_nan_fails_its_job_with_a_reason(laboratory, attack, monkeypatch):
    entry = AttackEntry(lambda model, x, goal, ball: x + float("nan") * goal.gradient(model, x))
    monkeypatch.setitem(ATTACKS, "fgsm", entry)
    outcome = laboratory.run(attack(laboratory.model(), "fgsm"))
    assert isinstance(outcome, Failed)
    assert "NaN" in Status.FromString(outcome.error).message


def spoiled(monkeypatch, change):
    """Let every result of the engine be changed on its way to the shard; `change` gets it with labels and indices."""
    honest = shards.run_attack

    def run(model, x, y, plan, *, sample_ids, **options):
        result = honest(model, x, y, plan, sample_ids=sample_ids, **options)
        return replace(result, **change(result, y, sample_ids))

    monkeypatch.setattr(shards, "run_attack", run)


def in_place(tensor, change):
    change(tensor)
    return {}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda r, y, i: {"x_adv": r.x_adv.double()}, {"dtype": 100}),
        (lambda r, y, i: {"x_adv": r.x_adv.index_fill(0, torch.tensor([3]), float("inf"))}, {"finite": 3}),
        (lambda r, y, i: {"x_adv": r.x_adv.index_fill(0, torch.tensor([3]), -0.01)}, {"box": 3, "ball": 3}),
        (lambda r, y, i: in_place(y, lambda y: y[:2].copy_((y[:2] + 1) % 10)), {"label": 6}),
    ],
    ids=["dtype", "infinite", "below 0", "labels"],
)
def test_what_goes_wrong_between_engine_and_shard_is_caught(laboratory, attack, monkeypatch, change, found):
    spoiled(monkeypatch, change)
    counted, warnings, rows = inspected(laboratory, attack(laboratory.model(), "fgsm"))
    assert counted == found
    assert all(f"{kind} {count}" in warnings[0] for kind, count in found.items())
    assert not rows["success"][0 if "label" in found else 3]  # one of those that were spoiled


def test_an_evaluation_which_keeps_no_examples_checks_them_all_the_same(laboratory, evaluation, monkeypatch):
    spoiled(monkeypatch, lambda r, y, i: {"x_adv": r.x_adv + 2})
    result = laboratory.result(evaluation(laboratory.model()))
    violations = json.loads(laboratory.file(result, "manifest"))["checks"]["violations"]
    assert violations == {**dict.fromkeys(KINDS, 0), "ball": 200, "box": 200}
    assert [row.violations for row in result.rows] == [0, 200, 200]


def test_shards_of_other_samples_are_refused_by_the_closing(laboratory, attack, monkeypatch):
    spoiled(monkeypatch, lambda r, y, i: in_place(i, lambda i: i.add_(1)))
    outcome = laboratory.run(attack(laboratory.model(), "fgsm"))
    assert isinstance(outcome, Failed)
    assert "once each and in order" in Status.FromString(outcome.error).message


def test_a_sound_result_has_no_violation_of_any_kind(laboratory, attack):
    for name in ("fgsm", "bim", "pgd"):
        result = laboratory.result(attack(laboratory.model(), name), name)
        assert json.loads(laboratory.file(result, "manifest"))["checks"] == {
            "samples": 100, "violations": dict.fromkeys(KINDS, 0),
        }  # fmt: skip
        assert not any(warning.startswith("Error") for warning in result.warnings)


def test_a_shard_s_data_are_left_alone_by_whoever_changes_its_copies(laboratory, attack, monkeypatch):
    """Built-in data are shared by every job of the process, so a bug must not reach them."""
    model = laboratory.model()
    sound = laboratory.file(laboratory.result(attack(model, "bim"), "before"), "adversarial")
    with monkeypatch.context() as patched:
        honest = shards.run_attack

        def vandal(model, x, y, plan, **options):
            result = honest(model, x, y, plan, **options)
            x.zero_()
            y.zero_()
            return result

        patched.setattr(shards, "run_attack", vandal)
        laboratory.run(attack(model, "bim"), "vandal")
    assert laboratory.file(laboratory.result(attack(model, "bim"), "after"), "adversarial") == sound


def test_a_class_without_samples_has_no_accuracy_in_the_table_and_null_in_the_figures(laboratory, attack):
    result = laboratory.result(attack(laboratory.model(), "fgsm", count=5))
    row = json.loads(laboratory.file(result, "metrics"))["rows"][1]
    labels = set(load(laboratory.file(result, "adversarial"))["label"].tolist())
    assert len(labels) < 10
    for number, (shown, told) in enumerate(
        zip(row["class_robust_accuracy"], result.rows[1].class_robust_accuracy, strict=True)
    ):
        if number in labels:
            assert shown == told
            assert 0 <= told <= 1
        else:
            assert shown is None
            assert told != told  # noqa: PLR0124 - NaN is what differs from itself
