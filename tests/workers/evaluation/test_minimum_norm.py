"""Attacks that look for the shortest perturbation: no limit, thresholds, distances."""

from __future__ import annotations

import json

import pytest
import torch

from workers.evaluation import Shard, summarize, within, words
from workers.evaluation.worst import worst_groups, worst_run


@pytest.fixture
def clean(make):
    """Four samples of three classes, all right clean."""
    return make.clean([0, 0, 1, 1])


def free(make, key, attack="carlini_wagner", norm="l2", **more):
    """A run of a minimum-norm attack, without a limit unless told."""
    limit = {"linf": 1.0, "l2": 1000.0, "l1": 1000.0, "l0": 1e6}[norm]
    return make.info(key, attack=attack, norm=norm, **{"epsilon": limit, "minimum": True, **more})


def rows(make, clean, runs, infos):
    return summarize(make.given([Shard(clean, tuple(runs))], infos)).rows


def groups(*infos):
    return [(group.norm, group.epsilon, sorted(run.key for run in group.runs)) for group in worst_groups(infos)]


def test_the_distances_of_the_successes_are_told_by_median_and_mean(make, clean):
    distance = torch.tensor([0.5, 1.0, 3.0, 9.0])
    _, row = rows(make, clean, [make.run(clean, [1, 1, 0, 1], distance=distance)], [free(make, "a0")])
    assert row.success_rate.count == 3  # the last sample was not turned
    assert (row.median_distance, row.mean_distance, row.max_distance) == pytest.approx((1.0, 1.5, 3.0))


def test_a_run_without_a_success_has_no_distance(make, clean):
    _, row = rows(make, clean, [make.run(clean, [0, 0, 1, 1])], [free(make, "a0")])
    assert (row.median_distance, row.mean_distance) == (0.0, 0.0)


def test_only_minimum_norm_attacks_can_have_no_limit(make):
    assert free(make, "a").no_limit
    assert not free(make, "a", epsilon=5.0).no_limit
    assert not make.info("a", epsilon=1.0).no_limit


def test_an_attack_without_limit_takes_part_in_every_ball_of_its_norm_and_makes_none(make):
    info, cw = make.info, free(make, "cw")
    assert groups(cw) == []
    assert groups(info("a", norm="l2"), cw) == [("l2", 0.3, ["a", "cw"])]
    assert groups(info("a"), cw) == [], "another norm"
    assert groups(info("a", norm="l2", epsilon=0.1), info("b", norm="l2", epsilon=0.2), cw) == [
        ("l2", 0.2, ["a", "b", "cw"])
    ]
    assert groups(info("a", norm="l2", epsilon=0.1), info("b", norm="l2", epsilon=0.1), cw) == [
        ("l2", 0.1, ["a", "b", "cw"])
    ]


def test_without_a_limit_there_is_a_worst_case_only_of_several(make):
    cw, ddn = free(make, "cw"), free(make, "ddn", attack="ddn")
    assert groups(cw, ddn) == [("l2", 1000.0, ["cw", "ddn"])]
    assert groups(cw, free(make, "fab", norm="linf")) == []
    assert groups(make.info("a", norm="l2"), cw, ddn) == [
        ("l2", 0.3, ["a", "cw", "ddn"]),
        ("l2", 1000.0, ["a", "cw", "ddn"]),
    ]


def test_a_minimum_norm_attack_with_a_limit_counts_in_smaller_balls_too(make):
    """Its shortest perturbations are what they are, whatever the limit was."""
    assert groups(make.info("a", norm="l2"), free(make, "cw", epsilon=2.0)) == [("l2", 2.0, ["a", "cw"])]
    both = groups(make.info("a", norm="l2"), make.info("b", norm="l2"), free(make, "cw", epsilon=2.0))
    assert both == [("l2", 0.3, ["a", "b", "cw"]), ("l2", 2.0, ["a", "b", "cw"])]


def test_in_a_ball_only_perturbations_that_reach_no_further_count(make, clean):
    near = torch.tensor([0.2, 0.4, 0.3, 0.1])
    pgd = make.run(clean, [0, 0, 1, 0], key="a0", distance=0.3)
    cw = make.run(clean, [1, 1, 1, 1], key="a1", distance=near)
    infos = [make.info("a0", norm="l2"), free(make, "a1")]
    *_, worst = rows(make, clean, [pgd, cw], infos)
    assert (worst.attack, worst.epsilon, worst.worst_of) == ("worst_case", 0.3, ("a0", "a1"))
    # The first by C&W at 0.2, the last by PGD; C&W's 0.4 on the second is too far, the third it did not turn.
    assert worst.robust_accuracy.count == 2


def test_a_distance_on_the_edge_counts_for_all_rounding(make, clean):
    distance = torch.tensor([0.3, 0.3 + 5e-7, 0.3 + 1e-5, 0.1])
    run = make.run(clean, [1, 1, 0, 0], distance=distance)
    assert within(run, 0.3).success.tolist() == [True, True, False, True]
    assert within(run, 0.0).success.tolist() == [False] * 4
    assert run.success.all(), "the run itself is left as it is"


def test_without_a_limit_the_nearest_is_the_worst(make, clean):
    sure = make.run(clean, [1, 1, 0, 1], key="a0", confidence=0.9, distance=2.0)
    near = make.run(clean, [1, 0, 0, 1], key="a1", confidence=0.6, distance=1.0)
    assert worst_run([sure, near], nearest=True).distance.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert worst_run([sure, near]).distance.tolist() == [2.0, 2.0, 2.0, 2.0]
    infos = [free(make, "a0"), free(make, "a1", attack="ddn")]
    *_, worst = rows(make, clean, [sure, near], infos)
    assert (worst.epsilon, worst.robust_accuracy.count) == (1000.0, 1)
    assert worst.median_distance == 1.0


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_no_limit_is_a_word(make, norm):
    run = free(make, "a", norm=norm)
    assert words.radius(norm, run.epsilon) == "no limit"
    assert words.radius(norm, run.epsilon / 2) != "no limit"


def test_the_page_says_no_limit_and_its_headline_is_of_a_ball(make, clean):
    infos = [make.info("a0", norm="l2", epsilon=0.5), free(make, "a1")]
    runs = [make.run(clean, [0, 0, 1, 0]), make.run(clean, [1, 1, 0, 0], key="a1", distance=0.8)]
    given = make.given([Shard(clean, tuple(runs))], infos)
    html = summarize(given).report_html
    assert "L2 no limit" in html
    head = html[html.index("</style>") : html.index("<section")]
    assert "L2 0.5" in head
    assert "no limit" not in head


def test_where_nothing_has_a_limit_the_headline_says_so(make, clean):
    given = make.given([Shard(clean, (make.run(clean, [1, 1, 0, 0]),))], [free(make, "a0")])
    html = summarize(given).report_html
    assert "no limit" in html[html.index("</style>") : html.index("<section")]


def test_queries_are_the_forward_passes_of_attacks_that_only_ask(make, clean):
    infos = [
        make.info("a0"),
        make.info("a1", attack="square", knowledge="scores"),
        free(make, "a2", attack="boundary", knowledge="labels"),
    ]
    runs = [make.run(clean, [1, 1, 0, 0], key=info.key) for info in infos]
    summary = summarize(make.given([Shard(clean, tuple(runs))], infos))
    told = {row.attack: row.queries for row in summary.rows if row.run}
    assert told == {"pgd": 0, "square": 12, "boundary": 12}
    assert "Queries<br>per sample" in summary.report_html
    for sentence in ("white box", "Square asks the model for nothing but the scores", "Boundary attack asks the model"):
        assert sentence in summary.report_html
    written = json.loads(summary.metrics_json)
    assert [row["queries"] for row in written["rows"] if row["run"]] == [0, 12, 12]
    assert [run["knowledge"] for run in written["runs"]] == ["gradients", "scores", "labels"]


def test_without_queries_there_is_no_column_for_them(make, clean):
    html = summarize(make.given([Shard(clean, (make.run(clean, [1, 1, 0, 0]),))], [make.info()])).report_html
    assert "Queries" not in html
