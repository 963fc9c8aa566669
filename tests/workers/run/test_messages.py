"""The contract's messages as plain values."""

from __future__ import annotations

import pytest
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2, models_pb2, options_pb2

from workers.attacks import ATTACKS
from workers.defenses import DEFENSES
from workers.engine.attack import GoalSpec
from workers.engine.plan import look_up
from workers.failures import Rejected
from workers.models import Signature
from workers.run import messages

PGD = attacks_pb2.Pgd(
    epsilon=0.2,
    steps=10,
    step_size=0.05,
    restarts=2,
    random_start=True,
    loss=attacks_pb2.LOSS_MARGIN,
    norm=attacks_pb2.NORM_L2,
)


def filled(message):
    """A message with every field set to something that it may be."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            getattr(message, field.name)["strength"] = 1
        elif field.enum_type is not None:
            said = field.GetOptions().Extensions[options_pb2.parameter]
            setattr(message, field.name, said.default_value)
        else:
            setattr(message, field.name, "own" if field.type == field.TYPE_STRING else 1)
    return message


def test_every_attack_of_the_contract_is_a_plan_that_the_engine_takes() -> None:
    kinds = attacks_pb2.Attack.DESCRIPTOR.oneofs_by_name["kind"].fields
    assert {field.name for field in kinds} == set(ATTACKS)
    for field in kinds:
        attack = attacks_pb2.Attack()
        filled(getattr(attack, field.name))
        if messages.method(getattr(attack, field.name)).needs_target:
            attack.goal.targeted.each.SetInParent()
        info = messages.run_info("a0", None, attack)
        if field.name == "plugin":  # none is installed with Sparring itself; see test_plugins
            with pytest.raises(Rejected, match="no plug-in 'own'"):
                look_up(messages.plan(attack), survivors_only=True)
        else:
            assert look_up(messages.plan(attack), survivors_only=True).goal.kind == info.goal
        assert info.title
        assert info.formula
        assert info.paper or field.name == "plugin"
        assert info.knowledge == ATTACKS[field.name].reads
        assert info.minimum == ATTACKS[field.name].minimum


def test_every_defense_of_the_contract_is_one_that_can_be_trained() -> None:
    kinds = defenses_pb2.Defense.DESCRIPTOR.oneofs_by_name["kind"].fields
    assert {field.name for field in kinds} == set(DEFENSES)
    for field in kinds:
        message = filled(getattr(defenses_pb2.Defense(), field.name))
        assert DEFENSES[field.name](**messages.values(message)).rounds(3)


def test_parameters_keep_their_names_and_enums_lose_their_prefix() -> None:
    plan = messages.plan(attacks_pb2.Attack(pgd=PGD))
    assert (plan.name, plan.epsilon, plan.norm) == ("pgd", 0.2, "l2")
    assert plan.parameters == {
        "steps": 10,
        "step_size": 0.05,
        "restarts": 2,
        "random_start": True,
        "loss": "margin",
    }
    optimization = jobs_pb2.Optimization(optimizer=jobs_pb2.OPTIMIZER_SGD, schedule=jobs_pb2.SCHEDULE_ONE_CYCLE)
    assert messages.values(optimization)["optimizer"] == "sgd"
    assert messages.values(optimization)["schedule"] == "one_cycle"


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (attacks_pb2.Goal(), GoalSpec()),
        (attacks_pb2.Goal(untargeted=attacks_pb2.Untargeted()), GoalSpec(kind="untargeted")),
        (attacks_pb2.Goal(targeted=attacks_pb2.Targeted(label=0)), GoalSpec(kind="label", label=0)),
        (
            attacks_pb2.Goal(targeted=attacks_pb2.Targeted(random=attacks_pb2.RandomTarget())),
            GoalSpec(kind="random"),
        ),
        (
            attacks_pb2.Goal(targeted=attacks_pb2.Targeted(least_likely=attacks_pb2.LeastLikelyTarget())),
            GoalSpec(kind="least_likely"),
        ),
        (
            attacks_pb2.Goal(targeted=attacks_pb2.Targeted(each=attacks_pb2.EachClass())),
            GoalSpec(kind="each"),
        ),
    ],
)
def test_goals(goal: attacks_pb2.Goal, expected: GoalSpec) -> None:
    assert messages.goal(attacks_pb2.Attack(pgd=PGD, goal=goal)) == expected


def test_an_attack_with_a_goal_of_its_own_keeps_it() -> None:
    own = attacks_pb2.Attack(iterative_least_likely=attacks_pb2.IterativeLeastLikely(epsilon=0.1))
    assert messages.goal(own) == GoalSpec(kind="least_likely")
    assert messages.plan(own).norm == "linf"


def test_a_plugin_is_given_its_name_and_its_own_parameters() -> None:
    own = attacks_pb2.Plugin(name="own", epsilon=0.1, norm="NORM_L1", parameters={"strength": 0.5, "aim": 2})
    plan = messages.plan(attacks_pb2.Attack(plugin=own))
    assert (plan.name, plan.norm, plan.epsilon) == ("plugin", "l1", 0.1)
    assert plan.parameters == {"name": "own", "aim": 2.0, "strength": 0.5}
    assert messages.run_info("a0", None, attacks_pb2.Attack(plugin=own)).parameters == {
        "name": "own",
        "epsilon": 0.1,
        "aim": 2.0,
        "strength": 0.5,
    }
    assert messages.extras(PGD) == {}


@pytest.mark.parametrize(
    ("message", "minimum", "no_limit"),
    [
        (attacks_pb2.Attack(fmn=attacks_pb2.Fmn(norm="NORM_L0", epsilon=1e6)), True, True),
        (attacks_pb2.Attack(fmn=attacks_pb2.Fmn(norm="NORM_L0", epsilon=1000)), True, False),
        (attacks_pb2.Attack(fmn=attacks_pb2.Fmn(norm="NORM_L1", epsilon=1000)), True, True),
        (attacks_pb2.Attack(deepfool=attacks_pb2.DeepFool(norm="NORM_LINF", epsilon=1)), True, True),
        (attacks_pb2.Attack(deepfool=attacks_pb2.DeepFool(norm="NORM_L2", epsilon=1)), True, False),
        (attacks_pb2.Attack(pgd=attacks_pb2.Pgd(norm="NORM_LINF", epsilon=1)), False, False),
    ],
)
def test_only_a_minimum_norm_attack_may_have_no_limit(message, minimum: bool, no_limit: bool) -> None:
    info = messages.run_info("a0", None, message)
    assert (info.minimum, info.no_limit) == (minimum, no_limit)


def test_a_curve_keeps_its_steps_and_scales_their_length() -> None:
    spec = jobs_pb2.EvaluationSpec(
        attacks=[attacks_pb2.Attack(pgd=PGD)],
        curves=[jobs_pb2.EpsilonCurve(attack=attacks_pb2.Attack(pgd=PGD), epsilons=[0, 0.1, 0.4])],
    )
    runs = messages.runs(jobs_pb2.Job(evaluation=spec))
    assert [(key, curve) for key, curve, _ in runs] == [("a0", None), ("c0.0", 0), ("c0.1", 0), ("c0.2", 0)]
    assert [attack.pgd.epsilon for _, _, attack in runs] == [0.2, 0, 0.1, 0.4]
    assert [attack.pgd.step_size for _, _, attack in runs] == pytest.approx([0.05, 0.05, 0.025, 0.1])
    assert {attack.pgd.steps for _, _, attack in runs} == {10}
    assert spec.curves[0].attack.pgd.epsilon == 0.2


def test_units_cover_every_model_and_every_sample_once() -> None:
    job = jobs_pb2.Job(
        evaluation=jobs_pb2.EvaluationSpec(execution=jobs_pb2.Execution(shard_size=40)),
        resolution=jobs_pb2.Resolution(shards=3, units=6, data=jobs_pb2.ResolvedData(count=100)),
    )
    assert [messages.unit_range(job, unit) for unit in range(6)] == [
        (model, *span) for model in (0, 1) for span in ((0, 40), (40, 80), (80, 100))
    ]


def test_a_signature_survives_both_ways() -> None:
    what = Signature("wong_cnn", (3, 8, 8), 10, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert messages.signature(messages.signature_message(what)) == what


def test_what_the_report_says_of_models_and_data() -> None:
    signature = models_pb2.ModelSignature(architecture="mlp", input_shape=[1, 8, 8], classes=10)
    known = jobs_pb2.ResolvedModel(name="models/a", signature=signature, defense="pgd_adversarial")
    assert messages.model_info(known).paper == "1706.06083"
    assert messages.model_info(jobs_pb2.ResolvedModel(name="models/b", signature=signature)).citation == ""
    data = jobs_pb2.ResolvedData(
        dataset="digits", split="test", offset=3, count=5, source=datasets_pb2.DATASET_SOURCE_BUILT_IN
    )
    info = messages.data_info(data, digest="d", note="n")
    assert (info.dataset, info.offset, info.count, info.source) == ("digits", 3, 5, "built-in")
