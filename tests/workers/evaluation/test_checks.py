"""Each warning: when it comes, and when it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.evaluation import Shard, shard_stats, summarize

N = 1000


@pytest.fixture
def warn(make):
    """Return a function from (info, samples left, settings) triples to the warnings, on 1000 samples of 3 classes."""

    def warnings(*runs, defense="standard", clean_right=N, n=N):
        clean = make.clean([i % 3 for i in range(n)], [i % 3 if i < clean_right else (i + 1) % 3 for i in range(n)])
        done = []
        for info, left, more in runs:
            said = [i % 3 if i < left else (i + 1) % 3 for i in range(n)]
            target = {"target": [(i + 1) % 3 for i in range(n)]} if info.targeted else {}
            done.append(make.run(clean, said, key=info.key, **target, **more))
        given = make.given([Shard(clean, tuple(done))], [run[0] for run in runs], models=[make.model(defense=defense)])
        return summarize(given).warnings

    return warnings


def has(warnings, words):
    return any(words in warning for warning in warnings)


def test_the_evaluation_is_always_called_non_adaptive(make, warn):
    (only,) = warn((make.info(), 100, {}))
    assert only.startswith("Non-adaptive evaluation; upper bound on robustness.")


def test_without_attacks_there_is_nothing_to_say_of_robustness(warn):
    assert warn() == ()


def test_few_samples(make, warn):
    assert has(warn((make.info(), 10, {}), n=200, clean_right=200), "off by up to 7 points")
    assert has(warn((make.info(), 1, {}), n=1, clean_right=1), "Judged on 1 sample only")


def test_violations_are_an_error_and_come_first(make, warn):
    first = warn((make.info(), 10, {"violations": 3}), n=200)[0]
    assert first.startswith("Error: net: 3 times an adversarial example was not what it must be when all were checked")
    assert "(ball 3; PGD at L∞ 0.3" in first
    assert not has(warn((make.info(), 10, {}), n=200), "was not what it must be")


def test_violations_are_told_kind_by_kind_over_all_runs(make):
    clean = make.clean([0, 1, 2])
    first = replace(make.run(clean, [1, 1, 1]), violations=(1, 0, 0, 0, 2, 0))
    second = replace(make.run(clean, [1, 1, 1], key="a1"), violations=(0, 0, 3, 0, 0, 0))
    given = make.given([Shard(clean, (first, second))], [make.info(), make.info("a1", attack="fgsm")])
    summary = summarize(given)
    assert "6 times" in summary.warnings[0]
    assert "(ball 1, label 3, finite 2; PGD at L∞ 0.3 (76.5/255) and 1 more rows)" in summary.warnings[0]
    assert (summary.checked, summary.violations) == (6, (1, 0, 3, 0, 2, 0))


def test_halved_batches_are_told_and_only_those(make):
    shards = [Shard(make.clean([0, 1], start=2 * i), ()) for i in range(3)]
    given = make.given(shards, [])
    stats = [shard_stats({}), shard_stats({}, asked=256, fitted=64), shard_stats({}, asked=256, fitted=32)]
    halved = summarize(replace(given, stats=stats)).warnings
    assert has(halved, "2 of 3 units were halved to 32 or 64 samples at once after out of memory at 256")
    assert not has(summarize(given).warnings, "out of memory")


def test_a_single_step_that_beats_an_iterated_attack(make, warn):
    fgsm, pgd = make.info("a0", attack="fgsm", epsilon=0.2), make.info("a1", epsilon=0.3)
    text = "a single step does better than an iterated attack (FGSM at L∞ 0.2 (51/255) leaves 10.0"
    assert has(warn((fgsm, 100, {}), (pgd, 200, {})), text)
    assert not has(warn((fgsm, 200, {}), (pgd, 100, {})), "a single step")
    assert not has(warn((fgsm, 200, {}), (pgd, 203, {})), "a single step")  # within chance


def test_a_single_step_may_beat_an_iterated_attack_of_smaller_radius_other_norm_or_goal(make, warn):
    fgsm = make.info("a0", attack="fgsm", epsilon=0.3)
    smaller = make.info("a1", epsilon=0.2)
    other = make.info("a1", epsilon=0.3, norm="l2")
    goal = make.info("a1", epsilon=0.3, goal="random")
    for iterated in (smaller, other, goal):
        assert not has(warn((fgsm, 100, {}), (iterated, 300, {})), "a single step")


def test_accuracy_that_rises_with_epsilon(make, warn):
    low, high = make.info("c0.0", epsilon=0.1, curve=0), make.info("c0.1", epsilon=0.2, curve=0)
    assert has(warn((low, 300, {}), (high, 400, {})), "accuracy does not fall as epsilon grows (PGD at L∞ 0.1")
    assert not has(warn((low, 400, {}), (high, 300, {})), "does not fall")
    assert not has(warn((low, 0, {}), (high, 0, {})), "does not fall")  # nothing is left to break


def test_accuracy_that_stays_with_twice_the_epsilon(make, warn):
    low, high = make.info("c0.0", epsilon=0.1, curve=0), make.info("c0.1", epsilon=0.2, curve=0)
    assert has(warn((low, 600, {}), (high, 600, {})), "does not fall")
    near = make.info("c0.1", epsilon=0.12, curve=0)
    assert not has(warn((low, 600, {}), (near, 600, {})), "does not fall")


def test_two_attacks_or_two_curves_are_not_one_family(make, warn):
    low, high = make.info("c0.0", epsilon=0.1, curve=0), make.info("c1.0", epsilon=0.2, curve=1)
    assert not has(warn((low, 300, {}), (high, 400, {})), "does not fall")


def test_saturation_names_distillation(make, warn):
    text = "Defensive distillation hides gradients in this way; this is not robustness: attack it with the margin loss"
    assert has(warn((make.info(), 100, {"zero": 51})), text)
    assert not has(warn((make.info(), 100, {"zero": 50})), "saturated")


def test_a_distilled_model_gets_the_plain_sentence_with_the_margin_loss_beside_it(make, warn):
    fgsm = make.info("a0", attack="fgsm", epsilon=0.25)
    margin = make.info("a1", epsilon=0.3, parameters={"epsilon": 0.3, "steps": 40, "loss": "LOSS_MARGIN"})
    plain = "A lower success of FGSM against it is not robustness"
    both = warn((fgsm, 620, {}), (margin, 6, {}), defense="distillation")
    assert has(both, plain)
    assert has(
        both,
        "Measured: FGSM at L∞ 0.25 (63.75/255) leaves 62.0\N{NO-BREAK SPACE}%, "
        "PGD with the margin loss at L∞ 0.3 (76.5/255) leaves 0.6\N{NO-BREAK SPACE}%.",
    )
    alone = warn((fgsm, 620, {}), defense="distillation")
    assert has(alone, plain)
    assert has(alone, "run PGD with loss margin")
    assert not has(warn((fgsm, 620, {}), (margin, 6, {})), plain)


def test_a_model_trained_on_fgsm_gets_pgd_beside_fgsm(make, warn):
    fgsm, pgd = make.info("a0", attack="fgsm", epsilon=0.25), make.info("a1", epsilon=0.25)
    both = warn((fgsm, 900, {}), (pgd, 0, {}), defense="fgsm_adversarial")
    assert has(
        both, "FGSM at L∞ 0.25 (63.75/255) leaves 90.0\N{NO-BREAK SPACE}%, PGD at L∞ 0.25 (63.75/255) leaves 0.0"
    )
    assert has(warn((fgsm, 900, {}), defense="fgsm_adversarial"), "No iterated attack was run: run PGD")
    assert not has(warn((fgsm, 900, {}), (pgd, 0, {})), "trained on FGSM")
