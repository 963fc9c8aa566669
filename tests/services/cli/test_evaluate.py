"""`sparring evaluate` with a suite: flags become the suite, and half a suite is refused with what to do."""

from __future__ import annotations

import pytest
from sparring.v1.attacks_pb2 import NORM_L2, NORM_UNSPECIFIED
from sparring.v1.suites_pb2 import Adaptive, Suite

DATA = "--dataset mnist10k"


def sent(service):
    return service.requests("CreateJob")[-1].evaluation


def test_a_suite_needs_a_level_and_a_radius_only(sparring, service):
    assert sparring(f"evaluate plain hardened {DATA} --suite quick --epsilon 8/255").code == 0
    spec = sent(service)
    assert spec.suite == Suite(level=Suite.LEVEL_QUICK, epsilon=8 / 255, norm=NORM_UNSPECIFIED)
    assert list(spec.models) == ["plain", "hardened"]
    assert not spec.HasField("adaptive")


def test_models_may_be_named_either_way_and_attacks_stand_beside_the_suite(sparring, service):
    line = "--model third --suite thorough --norm l2 --epsilon 2 --attack ddn --adapted loss --knows all"
    assert sparring(f"evaluate plain {DATA} {line}").code == 0
    spec = sent(service)
    assert list(spec.models) == ["plain", "third"]
    assert (spec.suite.level, spec.suite.norm) == (Suite.LEVEL_THOROUGH, NORM_L2)
    assert [attack.WhichOneof("kind") for attack in spec.attacks] == ["ddn"]
    assert spec.adaptive == Adaptive(adapted="loss", knowledge="all")


def test_without_a_suite_there_is_none(sparring, service):
    assert sparring(f"evaluate plain {DATA} --attack fgsm").code == 0
    assert not sent(service).HasField("suite")


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("plain --suite quick", "needs --epsilon"),
        ("plain --epsilon 0.1", "add --suite"),
        ("plain --norm l2", "add --suite"),
        ("--suite quick --epsilon 0.1", "Name a model"),
        ("plain --suite quick --epsilon x", "x"),
    ],
)
def test_half_a_suite_is_refused_with_what_to_do(sparring, service, line, advice):
    done = sparring(f"evaluate {DATA} {line}")
    assert done.code == 2
    assert advice in done.err
    assert not service.requests("CreateJob")
