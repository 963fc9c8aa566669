"""What an attack must be beyond the range of each number: its norm, its goal, and its parameters to each other."""

import math

import pytest
from sparring.v1 import attacks_pb2 as at
from sparring.v1 import datasets_pb2, jobs_pb2

from services.gateway import catalog
from services.gateway.check_attacks import check_attack_on
from services.gateway.checks import check_request

DATA = datasets_pb2.DataSelection(dataset="datasets/mnist10k")
EACH = at.Goal(targeted=at.Targeted(each=at.EachClass()))
NAMES = [info.name for info in catalog.attacks()]


def problems(goal=None, **kind):
    """What is wrong with an attack, by the field below `attack.attack`."""
    (name,) = kind
    if goal is None and catalog.attack(name).needs_target:
        goal = EACH
    spec = jobs_pb2.AttackSpec(model="m", data=DATA, attack=at.Attack(**kind, goal=goal))
    found = check_request(jobs_pb2.CreateJobRequest(attack=spec), max_samples=1000)
    return {violation.field.removeprefix("attack.attack."): violation.description for violation in found}


@pytest.mark.parametrize("name", NAMES)
def test_every_attack_passes_with_nothing_set(name):
    assert problems(**{name: {"name": "own"} if name == "plugin" else {}}) == {}


@pytest.mark.parametrize(
    ("kind", "norm", "allowed"),
    [
        ("fgsm", "NORM_L1", "NORM_LINF, NORM_L2"),
        ("pgd", "NORM_L0", "NORM_LINF, NORM_L2, NORM_L1"),
        ("carlini_wagner", "NORM_LINF", "NORM_L2"),
        ("jsma", "NORM_LINF", "NORM_L0"),
        ("fooling_gradient", "NORM_L2", "NORM_LINF"),
    ],
)
def test_a_norm_that_an_attack_does_not_have_is_refused_with_those_that_it_has(kind, norm, allowed):
    assert problems(**{kind: {"norm": norm}}) == {f"{kind}.norm": f"{norm} is none of {allowed}"}


def test_a_norm_that_does_not_exist_is_refused_in_the_same_words():
    assert problems(fmn={"norm": 9}) == {"fmn.norm": "9 is none of NORM_LINF, NORM_L2, NORM_L1, NORM_L0"}


def test_a_loss_that_an_attack_does_not_have_is_refused():
    assert "LOSS_CROSS_ENTROPY, LOSS_MARGIN" in problems(square={"loss": "LOSS_DLR"})["square.loss"]
    assert problems(pgd={"loss": "LOSS_RESCALED_CROSS_ENTROPY"}) == {}


@pytest.mark.parametrize(
    ("norm", "largest"), [("NORM_LINF", 1), ("NORM_L2", 1000), ("NORM_L1", 1000), ("NORM_L0", 1_000_000)]
)
def test_a_radius_is_in_the_range_of_its_norm(norm, largest):
    assert problems(fmn={"norm": norm, "epsilon": largest}) == {}
    found = problems(fmn={"norm": norm, "epsilon": largest * 1.01})
    assert set(found) == {"fmn.epsilon"}
    assert f"must be in [0, {largest:g}]" in found["fmn.epsilon"]


def test_a_radius_without_a_norm_is_in_the_range_of_the_default():
    """FMN has NORM_L2 where nothing is said, PGD has NORM_LINF."""
    assert problems(fmn={"epsilon": 5}) == {}
    assert "for NORM_LINF" in problems(pgd={"epsilon": 5})["pgd.epsilon"]


@pytest.mark.parametrize("name", [info.name for info in catalog.attacks() if not info.targeted])
def test_a_target_is_refused_where_an_attack_takes_none(name):
    found = problems(goal=EACH, **{name: {}})
    assert found == {"goal.targeted": f"{name} can't be steered to a chosen class; leave the goal unset"}


@pytest.mark.parametrize("name", [info.name for info in catalog.attacks() if info.needs_target])
@pytest.mark.parametrize("goal", [at.Goal(untargeted=at.Untargeted()), at.Goal()])
def test_a_fooling_image_needs_a_class_to_be_of(name, goal):
    assert "`each` takes every class in turn" in problems(goal=goal, **{name: {}})["goal.targeted"]


def test_some_attacks_need_a_target():
    assert {info.name for info in catalog.attacks() if info.needs_target} == {
        "fooling_gradient",
        "fooling_map_elites",
        "fooling_cppn",
    }


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ({"mi_fgsm": {"kernel_size": 4}}, "mi_fgsm.kernel_size"),
        ({"jsma": {"theta": 0}}, "jsma.theta"),
        ({"nes": {"queries": 99}}, "nes.queries"),
        ({"nes": {"samples": 5001}}, "nes.queries"),
        ({"hop_skip_jump": {"max_evaluations": 99}}, "hop_skip_jump.max_evaluations"),
        ({"plugin": {}}, "plugin.name"),
        ({"plugin": {"name": "Own-attack"}}, "plugin.name"),
        ({"plugin": {"name": "a" * 41}}, "plugin.name"),
        ({"plugin": {"name": "own", "parameters": {"a b": 1}}}, "plugin.parameters"),
        ({"plugin": {"name": "own", "parameters": {"epsilon": 1}}}, "plugin.parameters"),
        ({"plugin": {"name": "own", "parameters": {"a": math.nan}}}, "plugin.parameters"),
        ({"plugin": {"name": "own", "parameters": {f"p{i}": 1 for i in range(65)}}}, "plugin.parameters"),
    ],
)
def test_parameters_that_contradict_each_other_are_named(kind, field):
    assert set(problems(**kind)) == {field}


@pytest.mark.parametrize(
    "kind",
    [
        {"mi_fgsm": {"kernel_size": 0}},
        {"mi_fgsm": {"kernel_size": 7}},
        {"jsma": {"theta": -1}},
        {"nes": {"queries": 100}},
        {"hop_skip_jump": {"max_evaluations": 100}},
        {"plugin": {"name": "own", "parameters": {f"p{i}": i for i in range(64)}}},
    ],
)
def test_parameters_at_the_edge_of_a_rule_pass(kind):
    assert problems(**kind) == {}


def test_a_rule_is_silent_where_a_number_is_out_of_its_range():
    """What the rule would say of it would be about a number that is refused anyway."""
    assert set(problems(nes={"samples": 0, "queries": 0})) == {"nes.samples", "nes.queries"}


@pytest.mark.parametrize(("targets", "classes", "refused"), [(0, 3, False), (9, 3, True), (9, 4, False), (0, 2, True)])
def test_the_dlr_with_targets_needs_four_classes(targets, classes, refused):
    attack = at.Attack(apgd=at.Apgd(loss="LOSS_DLR", targets=targets))
    assert [violation.field for violation in check_attack_on(attack, classes, "a")] == ["a.apgd.loss"] * refused
