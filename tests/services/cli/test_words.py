"""Radii, distances and attacks as people read them."""

from __future__ import annotations

import pytest
from rich.console import Console
from sparring.v1.attacks_pb2 import NORM_L0, NORM_L1, NORM_L2, NORM_LINF, Attack, DeepFool, Plugin, Square
from sparring.v1.catalog_pb2 import MethodInfo
from sparring.v1.jobs_pb2 import Job, JobResult, ResultRow

from services.cli import listings, tables, words


@pytest.mark.parametrize(
    ("radius", "norm", "text"),
    [
        (0.3, NORM_LINF, "0.3"),
        (8 / 255, NORM_LINF, "8/255"),
        (1, NORM_LINF, "none"),
        (1.5, NORM_L2, "1.5 (L2)"),
        (12, NORM_L1, "12 (L1)"),
        (40, NORM_L0, "40 (L0)"),
        (1000, NORM_L2, "none (L2)"),
        (1000, NORM_L0, "1000 (L0)"),
        (1_000_000, NORM_L0, "none (L0)"),
    ],
)
def test_a_radius_names_its_norm_and_says_where_there_is_none(radius, norm, text):
    assert words.epsilon(radius, norm) == text


def test_an_attack_of_a_plugin_shows_its_own_parameters():
    made = Attack(plugin=Plugin(name="own", epsilon=0.5, parameters={"b": 2, "a": 0.25}))
    assert words.attack(made) == "plugin epsilon=0.5 name=own parameters=a:0.25,b:2"


def shown(*rows):
    """A job's result on a page wide enough for everything."""
    console = Console(width=200)
    with console.capture() as captured:
        console.print(tables.job(Job(result=JobResult(rows=rows))))
    return captured.get()


def test_a_minimum_norm_attack_shows_how_far_it_had_to_go():
    deepfool = Attack(deepfool=DeepFool(norm=NORM_L2))
    free = ResultRow(
        attack="deepfool", n=9, epsilon=1000, norm=NORM_L2, median_distance=1.25, mean_distance=1.5, max_distance=3
    )
    free.parameters.CopyFrom(deepfool)
    assert "deepfool: median 1.25, mean 1.5 (L2)" in shown(free)
    assert "none (L2)" in shown(free)
    nothing = ResultRow(attack="deepfool", n=9, epsilon=1000, norm=NORM_L2, parameters=deepfool)
    assert "median" not in shown(nothing)
    assert "median" not in shown(ResultRow(attack="fgsm", n=9, median_distance=1, max_distance=1))


def test_an_attack_that_only_asks_shows_its_queries():
    row = ResultRow(attack="square", n=10, queries=12340, parameters=Attack(square=Square()))
    assert "square: 1,234 a sample" in shown(row)
    assert "a sample" not in shown(ResultRow(attack="fgsm", n=10, forwards=20))


def test_a_method_says_what_it_asks_for():
    console = Console(width=200)
    with console.capture() as captured:
        console.print(listings.method(MethodInfo(name="a", knowledge="labels", minimum=True, needs_target=True)))
    told = captured.get()
    for word in ("labels", "it looks for the shortest", "must be given"):
        assert word in told
    assert "cost" not in told


def test_a_defense_says_what_a_step_of_it_costs_and_what_it_gave():
    console = Console(width=200)
    with console.capture() as captured:
        console.print(listings.method(MethodInfo(name="d", cost="2 * steps + 3", measured="robust .87 of 2,000")))
    told = captured.get()
    assert "2 * steps + 3 (a training step, where standard training's is 3)" in told
    assert "robust .87 of 2,000" in told
