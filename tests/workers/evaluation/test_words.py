"""Numbers and names in words."""

from __future__ import annotations

import pytest
from sparring.v1 import attacks_pb2

from workers.evaluation import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0"), (0.0001, "<0.1"), (0.9736, "97.4"), (0.99999, ">99.9"), (1.0, "100.0"), (0.0006, "0.1")],
)
def test_percent_is_never_rounded_to_all_or_nothing(value, text):
    assert words.percent(value) == f"{text}\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(
    ("norm", "epsilon", "text"),
    [
        ("linf", 8 / 255, "8/255 (0.0314)"),
        ("linf", 0.2, "0.2 (51/255)"),
        ("linf", 0.25, "0.25 (63.75/255)"),
        ("linf", 0.0, "0 (0/255)"),
        ("l2", 1.5, "1.5"),
        ("l1", 12.0, "12"),
        ("l0", 40.0, "40"),
    ],
)
def test_radius(norm, epsilon, text):
    assert words.radius(norm, epsilon) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.42, "420 ms"), (4.2, "4.20 s"), (42, "42 s"), (200, "3 min 20 s"), (7300, "2 h 1 min")]
)
def test_seconds(value, text):
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("loss", "LOSS_CROSS_ENTROPY", "cross entropy"),
        ("random_start", True, "yes"),
        ("steps", 10000, "10,000"),
        ("step_size", 2 / 255, "2/255 (0.00784)"),
        ("decay", 0.5, "0.5"),
    ],
)
def test_parameter(name, value, text):
    assert words.parameter(name, value, "linf") == text


def test_listed():
    assert [words.listed(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


def labels(*runs):
    return list(words.labels(runs, runs).values())


def test_labels_say_what_tells_attacks_apart_and_no_more(make):
    margin = {"epsilon": 0.3, "steps": 40, "loss": "margin"}
    assert labels(make.info("a"), make.info("b", attack="fgsm")) == ["PGD", "FGSM"]
    assert labels(make.info("a"), make.info("b", epsilon=0.1)) == ["PGD", "PGD"]  # the radius stands beside it
    assert labels(make.info("a"), make.info("b", parameters=margin)) == ["PGD, loss cross entropy", "PGD, loss margin"]
    more = {"epsilon": 0.3, "steps": 100, "loss": "cross_entropy"}
    assert labels(make.info("a"), make.info("b", parameters=more)) == ["PGD, steps 40", "PGD, steps 100"]
    assert labels(make.info("a", goal="label", goal_label=3)) == ["PGD, to class 3"]


def test_a_plugin_goes_by_its_own_name(make):
    own, other = ({"epsilon": 0.3, "name": name} for name in ("mine", "theirs"))
    runs = make.info("a", attack="plugin", parameters=own), make.info("b", attack="plugin", parameters=other)
    assert labels(*runs) == ["mine (plug-in)", "theirs (plug-in)"]
    assert labels(make.info("a", attack="auto_attack", goal="each")) == ["AutoAttack, to each class in turn"]


def test_every_attack_of_the_contract_has_a_name_that_people_use(make):
    kinds = [field.name for field in attacks_pb2.Attack.DESCRIPTOR.oneofs_by_name["kind"].fields]
    names = [words.attack_name(make.info(attack=kind)) for kind in kinds if kind != "plugin"]
    assert not set(names) & set(kinds)
    assert len(set(names)) == len(names)


def test_labels_of_curves_do_not_name_their_radii(make):
    runs = [make.info("c0.0", epsilon=0.1, curve=0), make.info("c1.0", epsilon=0.2, curve=1, attack="fgsm")]
    assert words.curve_labels(runs) == {0: "PGD", 1: "FGSM"}
