"""The rows, against figures computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workers.evaluation import Shard, summarize
from workers.evaluation.merge import merge
from workers.evaluation.worst import worst_groups
from workers.failures import Rejected


def rows(make, clean, runs, infos, **more):
    return summarize(make.given([Shard(clean, tuple(runs))], infos, **more)).rows


@pytest.fixture
def clean(make):
    """Five samples of three classes; the last is wrong clean."""
    return make.clean([0, 0, 1, 1, 2], [0, 0, 1, 1, 0])


def test_the_clean_row(make, clean):
    (row,) = rows(make, clean, [], [])
    assert (row.attack, row.epsilon, row.norm, row.n, row.run) == ("clean", 0.0, "", 5, "")
    assert row.clean_accuracy == row.robust_accuracy
    assert (row.clean_accuracy.value, row.success_rate.value) == (0.8, 0.0)
    assert (row.forwards, row.backwards, row.seconds) == (5, 0, 0.5)
    assert row.class_robust_accuracy == (1.0, 1.0, 0.0)


def test_an_untargeted_attack(make, clean):
    confidence, distance = torch.tensor([0.5, 0.6, 0.7, 0.9, 0.99]), torch.tensor([0.1, 0.2, 0.3, 0.4, 0.0])
    run = make.run(clean, [1, 0, 2, 0, 0], confidence=confidence, distance=distance, violations=2, zero=1)
    _, row = rows(make, clean, [run], [make.info()])
    assert (row.attack, row.epsilon, row.norm, row.n, row.run, row.curve) == ("pgd", 0.3, "linf", 5, "a0", False)
    assert row.clean_accuracy.value == 0.8
    assert (row.robust_accuracy.count, row.robust_accuracy.of) == (1, 5)  # the second sample alone
    assert (row.success_rate.count, row.success_rate.of) == (3, 4)
    assert row.mean_confidence == pytest.approx((0.5 + 0.7 + 0.9) / 3)
    assert (row.mean_distance, row.max_distance) == pytest.approx(((0.1 + 0.3 + 0.4) / 3, 0.4))
    assert row.class_robust_accuracy == (0.5, 0.0, 0.0)
    assert (row.forwards, row.backwards, row.seconds, row.violations) == (15, 10, 2.0, 2)
    assert row.zero_gradient == 0.25  # one of the four that were attacked


def test_a_wrong_sample_that_the_attack_makes_right_counts_as_broken(make, clean):
    _, row = rows(make, clean, [make.run(clean, [0, 0, 1, 1, 2])], [make.info()])
    assert row.robust_accuracy.value == 0.8


def test_violations_are_summed_over_shards_and_kinds_and_over_the_attacks_of_a_worst_case(make):
    cleans = [make.clean([0, 1], start=0), make.clean([2, 0], start=2)]
    counts = {"a0": [(1, 0, 0, 0, 0, 0), (1, 2, 0, 0, 0, 0)], "a1": [(0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 1, 0)]}
    shards = [
        Shard(
            clean,
            tuple(replace(make.run(clean, [1, 1], key=key), violations=found[i]) for key, found in counts.items()),
        )
        for i, clean in enumerate(cleans)
    ]
    summary = summarize(make.given(shards, [make.info("a0"), make.info("a1")]))
    assert [(row.attack, row.violations) for row in summary.rows] == [
        ("clean", 0), ("pgd", 4), ("pgd", 1), ("worst_case", 5)
    ]  # fmt: skip
    assert summary.rows[1].violations_by_kind == {"ball": 2, "box": 2}
    assert (summary.checked, summary.violations) == (8, (2, 2, 0, 0, 1, 0))


def test_a_targeted_attack_leaves_out_samples_of_the_target_class(make, clean):
    run = make.run(clean, [0, 1, 1, 1, 1], target=[1, 1, 1, 1, 1])
    _, row = rows(make, clean, [run], [make.info(goal="label", goal_label=1)])
    assert row.n == 3  # the two ones are left out
    assert row.robust_accuracy.count == 1  # the first; the second and the last became the target
    assert (row.success_rate.count, row.success_rate.of) == (1, 2)  # of those right clean
    assert row.class_robust_accuracy == (0.5, None, 0.0)


def test_a_targeted_attack_may_have_no_sample_to_judge(make):
    clean = make.clean([1])
    run = make.run(clean, [1], target=[1])
    _, row = rows(make, clean, [run], [make.info(goal="label", goal_label=1)])
    assert (row.n, row.robust_accuracy.known, row.mean_confidence) == (0, False, 0.0)


def test_the_worst_case_is_taken_sample_by_sample(make, clean):
    confidences = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.5]), torch.tensor([0.9, 0.9, 0.9, 0.9, 0.9])
    a = make.run(clean, [1, 0, 1, 2, 0], key="a0", confidence=confidences[0])
    b = make.run(clean, [1, 1, 1, 1, 0], key="a1", confidence=confidences[1])
    *_, first, second, worst = rows(make, clean, [a, b], [make.info("a0"), make.info("a1")])
    assert (first.robust_accuracy.count, second.robust_accuracy.count) == (2, 2)
    assert worst.robust_accuracy.count == 1  # only the third sample withstands both
    assert (worst.attack, worst.epsilon, worst.run, worst.worst_of) == ("worst_case", 0.3, "", ("a0", "a1"))
    assert worst.mean_confidence == pytest.approx((0.9 + 0.9 + 0.5) / 3)  # the surer attack wins where both break it
    assert (worst.forwards, worst.seconds) == (30, 4.0)


def groups(*infos):
    return [(group.norm, group.epsilon, sorted(run.key for run in group.runs)) for group in worst_groups(infos)]


def test_worst_cases_exist_where_two_attacks_share_a_radius_and_at_the_largest(make):
    info = make.info
    assert groups(info("a")) == []
    assert groups(info("a", epsilon=0.1), info("b", epsilon=0.1)) == [("linf", 0.1, ["a", "b"])]
    assert groups(info("a", epsilon=0.1), info("b", epsilon=0.1), info("c", epsilon=0.2)) == [
        ("linf", 0.1, ["a", "b"]),
        ("linf", 0.2, ["a", "b", "c"]),
    ]
    assert groups(info("a", epsilon=0.2), info("b", epsilon=0.1)) == [("linf", 0.2, ["a", "b"])]


def test_worst_cases_mix_neither_norms_nor_goals(make):
    info = make.info
    assert groups(info("a"), info("b", norm="l2")) == []
    assert groups(info("a"), info("b", goal="random")) == []


def test_points_of_curves_come_last_and_have_no_worst_case(make, clean):
    infos = [make.info("c0.0", curve=0), make.info("c0.1", curve=0), make.info("a0", attack="fgsm")]
    runs = [make.run(clean, [0, 0, 1, 1, 0], key=info.key) for info in infos]
    assert [(row.attack, row.curve) for row in rows(make, clean, runs, infos)] == [
        ("clean", False),
        ("fgsm", False),
        ("pgd", True),
        ("pgd", True),
    ]


def halves(make, *, keep):
    """One selection whole, and the same in two shards."""
    whole = make.clean([0, 1, 2, 0], [0, 1, 2, 1], start=10, pictures=4)
    first = make.clean([0, 1], start=10, pictures=2)
    second = make.clean([2, 0], [2, 1], start=12, pictures=2)
    runs = [(whole, [1, 1, 2, 1]), (first, [1, 1]), (second, [2, 1])]
    return [Shard(clean, (make.run(clean, said, keep=keep and len(clean)),)) for clean, said in runs]


def test_shards_merge_in_order(make):
    whole, first, second = halves(make, keep=False)
    one = make.given([whole], [make.info()], offset=10)
    two = make.given([first, second], [make.info()], offset=10)
    assert merge(two)[0].clean.index.tolist() == [10, 11, 12, 13]
    assert [row.robust_accuracy for row in summarize(one).rows] == [row.robust_accuracy for row in summarize(two).rows]
    assert summarize(two).rows[1].seconds == 4.0


def test_shards_of_models_are_not_mixed(make):
    good, bad = make.clean([0, 1]), make.clean([0, 1], [1, 0])
    models = [make.model("models/good"), make.model("models/bad")]
    merged = summarize(make.given([Shard(good, ()), Shard(bad, ())], [], models=models)).rows
    assert [(row.model, row.clean_accuracy.value) for row in merged] == [("models/good", 1.0), ("models/bad", 0.0)]


def test_shards_out_of_order_are_refused(make):
    _, first, second = halves(make, keep=False)
    with pytest.raises(ValueError, match="in order"):
        summarize(make.given([second, first], [make.info()], offset=10))


def test_a_missing_shard_is_refused(make):
    _, first, _ = halves(make, keep=False)
    with pytest.raises(ValueError, match="in order"):
        summarize(make.given([first], [make.info()], offset=10, count=4))


def test_shards_that_do_not_divide_are_refused(make):
    _, first, second = halves(make, keep=False)
    models = [make.model("models/a"), make.model("models/b")]
    with pytest.raises(ValueError, match="don't divide"):
        summarize(make.given([first, second, second], [make.info()], offset=10, models=models))


def test_a_shard_of_other_runs_is_refused(make):
    whole, *_ = halves(make, keep=False)
    with pytest.raises(ValueError, match="the job has"):
        summarize(make.given([whole], [make.info("other")], offset=10))


def test_a_model_that_answers_no_number_is_rejected(make, clean):
    run = make.run(clean, [0, 0, 1, 1, 0], confidence=float("nan"))
    with pytest.raises(Rejected) as caught:
        rows(make, clean, [run], [make.info()])
    assert caught.value.reason == "OUTPUT_NOT_FINITE"
