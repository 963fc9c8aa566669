"""What a report tells of a training that was watched."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from workers.evaluation import Course, Look, summarize
from workers.evaluation.course import MOST_LOOKS
from workers.evaluation.overfitting import of_training


def look(epoch, robust=0.5, *, clean=0.9, learned=0.6, learned_clean=0.95, back=False):
    return Look(
        epoch=epoch,
        loss=1 / epoch,
        held_out_clean=None if robust is None else clean,
        held_out_robust=robust,
        probe_clean=learned_clean,
        probe_robust=learned,
        rolled_back=back,
    )


def course(*looks, selected=None):
    return Course(looks=looks, selected=selected, epsilon=0.3, steps=10, samples=500)


def texts(given):
    return [finding.text.replace("\N{NO-BREAK SPACE}", " ") for finding in of_training(given)]


def test_a_quiet_training_warns_of_nothing():
    assert texts(course(look(1, 0.4), look(2, 0.55), look(3, 0.53))) == []
    assert texts(course(look(1, None), look(2, None))) == []


def test_robust_overfitting_is_the_best_against_the_last():
    looks = (look(1, 0.4), look(2, 0.6), look(3, 0.5))
    (text,) = texts(course(*looks))
    assert "60.0 % after epoch 2 and 50.0 % after epoch 3. The model's weights are the last epoch's" in text
    (text,) = texts(course(*looks, selected=2))
    assert "The model's weights are those of epoch 2" in text


def test_catastrophic_overfitting_is_named_where_the_training_went_back():
    (text,) = texts(course(look(1, None), look(2, None, learned=0.05, back=True), look(3, None)))
    assert text.startswith("Catastrophic overfitting: after epoch 2")
    assert "down to 5.0 %" in text


@pytest.mark.parametrize(
    "last", [look(2, 0.95, clean=0.9), look(2, None, learned=0.99, learned_clean=0.9)], ids=["held out", "learned from"]
)
def test_a_leaked_label_shows_as_accuracy_above_the_clean_one(last):
    (text,) = texts(course(look(1, last.held_out_robust), last))
    assert "above the clean one" in text


def test_a_long_training_is_told_in_some_lines_the_ones_that_mattered_among_them():
    looks = [look(epoch, back=epoch == 77) for epoch in range(1, 1001)]
    shown = [one.epoch for one in course(*looks, selected=500).shown]
    assert len(shown) <= MOST_LOOKS + 3
    assert {1, 77, 500, 1000} <= set(shown)


def summary(make, given):
    clean = make.clean([0, 1, 2])
    return summarize(make.given([make.shard(clean, ())], [], kind="training", course=given))


class Page(HTMLParser):
    """Reads a page, and fails on a tag that is closed out of turn."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text = [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += "" if "style" in self.open else data


@pytest.mark.parametrize("held_out", [True, False])
def test_the_page_has_the_curve_and_the_table(make, held_out):
    robust = 0.4 if held_out else None
    given = course(look(1, robust), look(2, robust, back=True), look(3, robust), selected=3 if held_out else None)
    made = summary(make, given)
    text = re.sub(r"\s+", " ", Page(made.report_html).text)
    assert "How it was trained" in text
    assert "PGD of 10 steps at L∞ 0.3 (76.5/255)" in text
    assert "went back" in text
    assert ("the model has the weights of epoch 3" in text) == held_out
    assert made.report_html.count("<use ") == 3 * (4 if held_out else 2)  # a mark for each look on each line
    assert ("Held out" in text) == held_out
    assert any("Catastrophic overfitting" in warning for warning in made.warnings)
    told = json.loads(made.metrics_json)["training"]
    assert [one["epoch"] for one in told["looks"]] == [1, 2, 3]


def test_a_training_that_nobody_watched_has_none_of_it(make):
    made = summary(make, None)
    assert "How it was trained" not in made.report_html
    assert "training" not in json.loads(made.metrics_json)
