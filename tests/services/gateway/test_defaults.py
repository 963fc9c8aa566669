"""Defaults and the rules over sibling fields."""

import math

import pytest
from google.protobuf import message_factory
from sparring.radii import NO_LIMIT
from sparring.v1 import attacks_pb2, defenses_pb2, jobs_pb2, suites_pb2

from services.gateway import catalog
from services.gateway.defaults import COMPUTED, RULES, fill, parse_default
from services.gateway.ranges import check_parameters, fields_of, parameter_of, within

ATTACKS, DEFENSES = (
    {
        field.name: message_factory.GetMessageClass(field.message_type)
        for field in owner.DESCRIPTOR.oneofs_by_name["kind"].fields
    }
    for owner in (attacks_pb2.Attack, defenses_pb2.Defense)
)
MESSAGES = [
    *ATTACKS.values(),
    *DEFENSES.values(),
    jobs_pb2.Optimization,
    jobs_pb2.Execution,
    jobs_pb2.TrainingSpec,
    jobs_pb2.Validation,
    jobs_pb2.FitOptions,
    suites_pb2.Probes,
]
FIELDS = [field for kind in MESSAGES for field in fields_of(kind()).values() if parameter_of(field) is not None]


def filled(message, **computed):
    fill(message, computed=computed)
    return message


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.full_name)
def test_every_parameter_has_a_default_that_is_in_its_range(field):
    rule = parameter_of(field)
    if field.type in (field.TYPE_STRING, field.TYPE_MESSAGE):
        assert (rule.default_value, rule.default_rule) == ("", ""), "left empty, or nobody but the client can know them"
        return
    if field.name == "min_device_memory_gib":
        assert (rule.default_value, rule.default_rule) == ("", ""), "left unset, nothing is asked of the device"
        return
    assert bool(rule.default_value) != bool(rule.default_rule)
    if rule.default_rule:
        assert (rule.default_rule in RULES) != (rule.default_rule in COMPUTED)
    elif field.enum_type is None and not isinstance(parse_default(field, rule.default_value), bool):
        assert within(parse_default(field, rule.default_value), rule)


@pytest.mark.parametrize(
    ("epsilon", "steps"), [(8 / 255, 10), (16 / 255, 20), (0.3, 81), (1 / 255, 2), (0.0, 1), (1.0, 259), (4 / 255, 5)]
)
def test_kurakins_steps(epsilon, steps):
    """min(k + 4, 1.25 k), rounded up: 8/255 is ten steps, as in arXiv:1607.02533."""
    assert filled(attacks_pb2.Bim(epsilon=epsilon)).steps == steps
    assert filled(attacks_pb2.IterativeLeastLikely(epsilon=epsilon)).steps == steps


def test_l2_takes_twenty_steps():
    bim = filled(attacks_pb2.Bim(epsilon=2, norm=attacks_pb2.NORM_L2))
    assert (bim.steps, bim.step_size) == (20, 2.5 * 2 / 20)


def test_one_grey_level_a_step_where_steps_is_unset():
    assert filled(attacks_pb2.Bim(epsilon=0.3)).step_size == 1 / 255
    assert filled(attacks_pb2.Bim(epsilon=0.3, steps=10)).step_size == pytest.approx(2.5 * 0.3 / 10)


@pytest.mark.parametrize("epsilon", [0.3, 8 / 255])
def test_one_step_of_training_is_as_long_as_its_paper_says(epsilon):
    """1.25 epsilon from a random start (arXiv:2001.03994), epsilon for a replay (arXiv:1904.12843)."""
    assert filled(defenses_pb2.FgsmRandomStart(epsilon=epsilon)).step_size == pytest.approx(1.25 * epsilon)
    assert filled(defenses_pb2.FreeAdversarialTraining(epsilon=epsilon)).step_size == pytest.approx(epsilon)
    assert filled(defenses_pb2.FreeAdversarialTraining(epsilon=0)).step_size == 1 / 255


def test_a_curve_counts_its_steps_as_given():
    bim = attacks_pb2.Bim(epsilon=0.3)
    fill(bim, given=frozenset({"steps"}))
    assert (bim.steps, bim.step_size) == (81, pytest.approx(2.5 * 0.3 / 81))


def test_pgd_takes_forty_steps_of_its_rule():
    pgd = filled(attacks_pb2.Pgd())
    assert (pgd.epsilon, pgd.steps, pgd.restarts, pgd.random_start) == (0.3, 40, 1, True)
    assert pgd.step_size == pytest.approx(2.5 * 0.3 / 40)
    assert (pgd.loss, pgd.norm) == (attacks_pb2.LOSS_CROSS_ENTROPY, attacks_pb2.NORM_LINF)


@pytest.mark.parametrize(
    "message",
    [
        attacks_pb2.Pgd(epsilon=0),
        attacks_pb2.Pgd(epsilon=1000, steps=1, norm=attacks_pb2.NORM_L2),
        attacks_pb2.IterativeLeastLikely(epsilon=1, steps=1),
        defenses_pb2.PgdAdversarialTraining(epsilon=1, steps=1),
        attacks_pb2.Bim(epsilon=0, steps=3),
        attacks_pb2.Nes(epsilon=0),
        attacks_pb2.MiFgsm(epsilon=0),
        attacks_pb2.EotPgd(epsilon=1000, steps=1, norm=attacks_pb2.NORM_L2),
        *(method() for name, method in ATTACKS.items() if name != "plugin"),
    ],
)
def test_what_rules_give_is_a_valid_request_again(message):
    assert list(check_parameters(filled(message), "x")) == []


def test_what_the_client_set_is_kept():
    pgd = attacks_pb2.Pgd(epsilon=0, steps=1, step_size=0.5, restarts=3, random_start=False)
    kept = attacks_pb2.Pgd()
    kept.CopyFrom(pgd)
    fill(pgd)
    for name in ("epsilon", "steps", "step_size", "restarts", "random_start"):
        assert getattr(pgd, name) == getattr(kept, name)


def test_every_rule_is_used():
    """A formula that the contract no longer has is dead."""
    assert {parameter_of(field).default_rule for field in FIELDS} - {""} == set(RULES) | COMPUTED


@pytest.mark.parametrize("name", [info.name for info in catalog.attacks() if info.minimum])
def test_a_minimum_norm_attack_has_no_limit_unless_told(name):
    attack = filled(ATTACKS[name]())
    assert attack.epsilon == NO_LIMIT[attack.norm]
    assert filled(ATTACKS[name](epsilon=0.5)).epsilon == 0.5


@pytest.mark.parametrize(
    ("norm", "limit"), [("NORM_LINF", 1), ("NORM_L2", 1000), ("NORM_L1", 1000), ("NORM_L0", 1_000_000)]
)
def test_the_limit_is_the_largest_radius_of_the_norm(norm, limit):
    assert filled(attacks_pb2.Fmn(norm=norm)).epsilon == limit


def test_momentum_steps_reach_the_edge_and_no_further():
    attack = filled(attacks_pb2.MiFgsm(epsilon=16 / 255))
    assert (attack.steps, attack.step_size) == (10, pytest.approx(1.6 / 255))


def test_estimated_gradients_are_as_many_as_the_queries_pay_for():
    attack = filled(attacks_pb2.Nes(epsilon=0.3))
    assert (attack.queries, attack.samples) == (10_000, 50)
    assert attack.step_size == pytest.approx(2.5 * 0.3 / 100)
    # 30 queries don't pay for one estimate of 100: there is one step all the same, so that the number is finite.
    assert filled(attacks_pb2.Nes(epsilon=0.3, queries=30)).step_size == pytest.approx(2.5 * 0.3)


def test_distillation_trains_its_teacher_as_long_as_the_student():
    assert filled(defenses_pb2.DefensiveDistillation(), teacher_epochs=7).teacher_epochs == 7
    assert filled(defenses_pb2.DefensiveDistillation(teacher_epochs=3), teacher_epochs=7).teacher_epochs == 3


def test_the_teacher_of_a_distillation_has_the_temperature_of_the_student():
    message = filled(defenses_pb2.DefensiveDistillation(temperature=20), teacher_epochs=7)
    assert (message.teacher_temperature, message.teacher_architecture) == (20, "")
    hinton = defenses_pb2.DefensiveDistillation(temperature=20, teacher_temperature=1)
    assert filled(hinton, teacher_epochs=7).teacher_temperature == 1


def test_filling_twice_changes_nothing():
    once = filled(attacks_pb2.Bim())
    twice = attacks_pb2.Bim()
    twice.CopyFrom(once)
    assert filled(twice) == once
    assert math.isfinite(once.step_size)
