"""The fourteen points: none is left out, and each sanity test says PASS, WARN or FAIL when it should."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workers.evaluation import Adaptive, ProbePlan, Shard, SuiteInfo, shard_stats, summarize
from workers.evaluation.checklist import POINTS

N = 1000
SUITE = SuiteInfo(level="quick", norm="linf", epsilon=0.3, attacks=2, curves=1)
PLAN = ProbePlan(norm="linf", epsilon=0.3, samples=N, noise_draws=100, lines=4, further_steps=20, transfer_steps=20)


def calm(**changed):
    """What the probes of a sound model say."""
    zeros, no = torch.zeros(N), torch.zeros(N, dtype=torch.bool)
    floats = dict.fromkeys(("twice", "mates", "mismatch", "unstable", "gain"), zeros)
    flags = dict.fromkeys(("flat", "saturated", "noise", "further", "adapts"), no)
    right = dict.fromkeys(("turned", "moved", "blurred", "contrast", "gaussian"), ~no)
    outputs = {"row_sum": zeros + 3, "lowest": zeros - 5, "highest": zeros + 8, "passes": torch.ones(N)}
    return {**floats, **flags, **right, **outputs, **changed}


@pytest.fixture
def judge(make):
    """Return a function from (info, samples left, settings) triples to the items by key, on 1000 samples."""

    def items(*runs, probes=None, transfers=None, clean_right=N, **given):
        y = [i % 3 for i in range(N)]
        clean = make.clean(y, [i % 3 if i < clean_right else (i + 1) % 3 for i in range(N)])
        done = []
        for info, left, more in runs:
            said = [i % 3 if i < left else (i + 1) % 3 for i in range(N)]
            target = {"target": [(i + 1) % 3 for i in range(N)]} if info.targeted else {}
            run = make.run(clean, said, key=info.key, distance=info.epsilon, **target)
            done.append(replace(run, **{"again": run.prediction, "rounded": run.prediction, **more}))
        shard = Shard(clean, tuple(done), calm() if probes is None else probes, transfers or {})
        job = make.given([shard], [run[0] for run in runs], suite=SUITE, probes=PLAN, **given)
        return {item.key: item for item in summarize(job).checklist}

    return items


def curve(make, *epsilons):
    return [make.info(f"c0.{i}", epsilon=epsilon, curve=0) for i, epsilon in enumerate(epsilons)]


def test_every_point_is_answered_with_a_suite_and_without_one(make, judge):
    found = judge((make.info(), 100, {}))
    assert {item.point for item in found.values()} == set(POINTS)
    clean = make.clean([0, 1, 2])
    bare = make.given([Shard(clean, (make.run(clean, [0, 0, 0]),))], [make.info()])
    listed = summarize(bare).checklist
    assert [item.point for item in listed] == sorted(item.point for item in listed)
    assert {item.point for item in listed} == set(POINTS)
    assert all(item.text and item.title for item in listed)
    asked = next(item for item in listed if item.key == "randomised")
    assert asked.status == "not_done"
    assert "--suite quick" in asked.text


def test_attacks_and_trainings_have_no_checklist(make):
    clean = make.clean([0, 1, 2], pictures=3)
    shard = Shard(clean, (make.run(clean, [0, 0, 0], keep=3),))
    assert summarize(make.given([shard], [make.info()], kind="attack")).checklist == ()


@pytest.mark.parametrize(("single", "iterated", "status"), [(200, 100, "pass"), (100, 200, "fail"), (100, 104, "pass")])
def test_iterated_attacks_must_beat_a_single_step(make, judge, single, iterated, status):
    fgsm = make.info("a0", attack="fgsm")
    item = judge((fgsm, single, {}), (make.info("a1"), iterated, {}))["iterated_beats_single_step"]
    assert item.status == status
    assert item.value == pytest.approx((single - iterated) / N)


@pytest.mark.parametrize(("left", "status"), [((900, 500, 0), "pass"), ((900, 500, 600), "fail")])
def test_a_larger_ball_must_not_leave_more(make, judge, left, status):
    points = curve(make, 0.1, 0.2, 0.5)
    found = judge(*[(info, n, {}) for info, n in zip(points, left, strict=True)])
    assert found["monotone_in_epsilon"].status == status


def test_radius_zero_must_be_the_clean_accuracy(make, judge):
    zero, far = curve(make, 0.0, 0.5)
    assert judge((zero, N, {}), (far, 0, {}))["epsilon_zero_is_clean"].status == "pass"
    found = judge((zero, N - 2, {}), (far, 0, {}))["epsilon_zero_is_clean"]
    assert (found.status, found.value) == ("fail", 2.0)


def test_at_half_the_range_nothing_may_be_left_beyond_chance(make, judge):
    zero, far = curve(make, 0.0, 0.5)
    assert judge((zero, N, {}), (far, 340, {}))["huge_epsilon_reaches_chance"].status == "pass"
    assert judge((zero, N, {}), (far, 500, {}))["huge_epsilon_reaches_chance"].status == "fail"
    short = curve(make, 0.0, 0.4)
    assert judge((short[0], N, {}), (short[1], 0, {}))["huge_epsilon_reaches_chance"].status == "not_done"


@pytest.mark.parametrize(("beyond", "status"), [(5, "pass"), (6, "warn")])
def test_twice_the_steps_may_break_half_a_point_more(make, judge, beyond, status):
    longer = {"epsilon": 0.3, "steps": 80, "loss": "cross_entropy"}
    one, two = make.info("a0"), make.info("a1", parameters=longer)
    item = judge((one, 500, {}), (two, 500 - beyond, {}))["doubling_changes_little"]
    assert (item.status, item.value) == (status, beyond / N)


def test_transfer_must_not_beat_the_white_box_nor_noise_the_transfer(make, judge):
    def broken(count):
        return torch.arange(N) >= N - count

    sound = judge((make.info(), 500, {}), transfers={"1": broken(200)}, probes=calm(noise=broken(10)))
    assert sound["white_box_beats_transfer"].status == "pass"
    assert sound["transfer_beats_noise"].status == "pass"
    assert sound["transfer"].value == pytest.approx(0.8)
    masked = judge((make.info(), 900, {}), transfers={"1": broken(200)}, probes=calm(noise=broken(300)))
    assert masked["white_box_beats_transfer"].status == "fail"
    assert masked["transfer_beats_noise"].status == "warn"
    assert masked["noise_is_weaker"].status == "fail"
    assert judge((make.info(), 500, {}))["white_box_beats_transfer"].status == "not_done"


@pytest.mark.parametrize(("left", "status"), [(500, "pass"), (498, "pass"), (497, "warn")])
def test_scores_may_break_two_tenths_of_a_point_beyond_gradients(make, judge, left, status):
    square = make.info("a1", attack="square", knowledge="scores", parameters={"queries": 200})
    assert judge((make.info("a0"), 500, {}), (square, left, {}))["square_no_better"].status == status


def test_what_only_the_last_stage_of_an_ensemble_broke_counts_as_found_by_scores(make, judge):
    stages = ("apgd", "apgd", "fab", "square")
    ensemble = make.info("a0", attack="auto_attack", stages=stages)
    by_square = torch.where(torch.arange(N) >= 900, 3, 0).masked_fill(torch.arange(N) < 500, -1)
    found = judge((ensemble, 500, {"stage": by_square}))
    assert (found["square_no_better"].status, found["square_no_better"].value) == ("warn", 0.1)
    assert "apgd 400" in found["stage_deltas"].text
    assert "square 100" in found["stage_deltas"].text


def test_each_attack_is_told_by_what_it_adds_to_those_before(make, judge):
    weak, strong = make.info("a0", attack="fgsm"), make.info("a1")
    found = judge((weak, 700, {}), (strong, 400, {}))
    assert "FGSM 300, PGD +300" in found["stage_deltas"].text
    assert found["worst_case"].value == pytest.approx(0.4)


def test_violations_fail_and_successes_that_are_gone_in_another_batch_warn(make, judge):
    item = judge((make.info(), 500, {"violations": (2, 0, 0, 0, 0, 0)}))["checked_again"]
    assert (item.status, item.value) == ("fail", 2.0)
    y = torch.arange(N) % 3
    item = judge((make.info(), 500, {"again": y}))["checked_again"]
    assert (item.status, item.value) == ("warn", 500.0)


def test_accuracy_after_rounding_is_a_figure(make, judge):
    y = torch.arange(N) % 3
    item = judge((make.info(), 500, {"rounded": torch.where(torch.arange(N) < 600, y, (y + 1) % 3)}))["after_rounding"]
    assert (item.status, item.value) == ("info", pytest.approx(0.6))


def test_examples_that_fool_the_model_and_did_not_count_are_a_silent_success(make, judge):
    y = torch.arange(N) % 3
    hidden = {"again": torch.where(torch.arange(N) < 10, (y + 1) % 3, y)}
    item = judge((make.info(), 500, hidden))["silent_success"]
    assert (item.status, item.value) == ("fail", 10.0)
    assert judge((make.info(), 500, {}))["silent_success"].status == "pass"


def test_a_flagged_model_is_not_for_the_leaderboard(make, judge):
    assert judge((make.info(), 500, {}))["robustbench"].status == "pass"
    random = judge((make.info(), 500, {}), probes=calm(twice=torch.ones(N)))
    assert random["robustbench"].status == "fail"
    assert random["eot"].status == "not_done"
    assert random["gradient_mismatch"].status == "not_done"


def test_without_words_the_evaluation_is_non_adaptive_and_with_them_it_says_so(make, judge):
    assert judge((make.info(), 500, {}))["adaptive"].text.startswith("Non-adaptive evaluation; upper bound only.")
    words = Adaptive(adapted="PGD through the detector.", knowledge="The attacker has everything.")
    item = judge((make.info(), 500, {}), adaptive=words)["adaptive"]
    assert (item.status, item.text) == (
        "info",
        "Adapted: PGD through the detector. Who knows what: The attacker has everything.",
    )


def test_the_shards_of_one_model_must_have_been_asked_the_same(make):
    shards = [Shard(make.clean([0, 1], start=2 * i), (), {"twice": torch.zeros(1)} if i else {}) for i in range(2)]
    given = make.given(shards, [])
    with pytest.raises(ValueError, match="not asked the same probes"):
        summarize(replace(given, stats=[shard_stats({})] * 2))
