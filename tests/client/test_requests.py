"""Plain values, texts and messages all become the same requests; every bad value is named."""

from __future__ import annotations

import contextlib
import inspect
import math

import pytest
import sparring
from hypothesis import given
from hypothesis import strategies as st
from sparring import contract, errors, requests, submit, values
from sparring.v1.attacks_pb2 import LOSS_MARGIN, NORM_L2, Attack, Bim, EachClass, Goal, Pgd, Plugin, Targeted
from sparring.v1.datasets_pb2 import DataSelection, Dataset
from sparring.v1.defenses_pb2 import Defense, FgsmAdversarialTraining
from sparring.v1.jobs_pb2 import (
    DEVICE_GPU,
    SCHEDULE_CONSTANT,
    SELECTION_ROBUST,
    AttackSpec,
    CreateJobRequest,
    FitOptions,
    Job,
    Optimization,
    Validation,
)
from sparring.v1.models_pb2 import Model

SPELLINGS = [
    lambda: submit.attack("net", "mnist10k", "bim", epsilon=8 / 255, steps=20),
    lambda: submit.attack("net", "mnist10k", "bim", epsilon="8/255", steps="20"),
    lambda: submit.attack("net", "mnist10k", "bim:epsilon=8/255,steps=20"),
    lambda: submit.attack("net", "mnist10k", "bim:epsilon=0.5", steps=20.0, epsilon="8/255"),
    lambda: submit.attack("net", "mnist10k", Bim(epsilon=8 / 255, steps=20)),
    lambda: submit.attack("net", "mnist10k", Attack(bim=Bim(steps=20)), epsilon=8 / 255),
    lambda: submit.attack(Model(name="net"), Dataset(name="mnist10k"), Bim(epsilon=8 / 255), steps=20),
    lambda: submit.attack("net", DataSelection(dataset="datasets/mnist10k"), "bim", epsilon=8 / 255, steps=20),
]


@pytest.mark.parametrize("build", SPELLINGS)
def test_every_spelling_of_an_attack_is_the_same(build):
    assert build().attack == AttackSpec(
        model="net",
        data=DataSelection(dataset="datasets/mnist10k"),
        attack=Attack(bim=Bim(epsilon=8 / 255, steps=20)),
    )


def test_what_is_left_out_stays_unset():
    spec = submit.attack("net", "mnist10k", "fgsm").attack
    assert spec.attack.WhichOneof("kind") == "fgsm"
    assert not spec.attack.fgsm.HasField("epsilon")
    assert not spec.HasField("execution")
    assert not spec.attack.HasField("goal")


def test_everything_of_an_attack_arrives():
    request = submit.attack(
        Job(name="jobs/training"),
        "mnist10k",
        "pgd",
        target="least-likely",
        split="test",
        offset=10,
        count=20,
        seed=2**64 - 1,
        batch_size=32,
        shard_size=64,
        device="gpu",
        request_id="mine",
        validate_only=True,
        display_name="words",
        norm="l2",
        loss="LOSS_MARGIN",
        random_start=False,
    )
    spec = request.attack
    assert spec.model == "jobs/training"
    assert spec.data == DataSelection(dataset="datasets/mnist10k", split="test", offset=10, count=20)
    assert spec.attack.pgd == Pgd(norm=NORM_L2, loss=LOSS_MARGIN, random_start=False)
    assert spec.attack.goal.targeted.WhichOneof("choice") == "least_likely"
    assert spec.seed == 2**64 - 1
    assert (spec.execution.batch_size, spec.execution.shard_size, spec.execution.device) == (32, 64, DEVICE_GPU)
    assert (request.request_id, request.validate_only, request.display_name) == ("mine", True, "words")


@pytest.mark.parametrize("target", [3, "3", Goal(targeted=Targeted(label=3))])
def test_a_target_is_a_class_in_any_spelling(target):
    assert submit.attack("net", "d", "fgsm", target=target).attack.attack.goal == Goal(targeted=Targeted(label=3))
    assert submit.attack("net", "d", "fgsm:target=3").attack.attack.goal.targeted.label == 3


def test_everything_of_a_training_arrives():
    spec = submit.train(
        "mnist10k",
        "fgsm_adversarial:epsilon=0.2",
        architecture="wong_cnn",
        model_id="hard",
        count=100,
        evaluation_data=DataSelection(dataset="digits"),
        mean=[0.1],
        std=[0.3],
        seed=7,
        device="cpu",
        alpha=0.25,
        attack_label="true",
        epochs=3,
        batch_size=50,
        learning_rate="1e-3",
        schedule="constant",
        held_out="1/10",
        select="robust",
    ).training
    assert spec.defense.fgsm_adversarial == FgsmAdversarialTraining(epsilon=0.2, alpha=0.25, attack_label=2)
    assert spec.optimization == Optimization(epochs=3, batch_size=50, learning_rate=1e-3, schedule=SCHEDULE_CONSTANT)
    assert spec.validation == Validation(held_out=0.1, select=SELECTION_ROBUST)
    assert not submit.train("mnist10k", epochs=3).training.HasField("validation")
    assert (spec.architecture, spec.model_id, spec.data.count, spec.seed) == ("wong_cnn", "hard", 100, 7)
    assert (spec.evaluation_data.dataset, list(spec.mean), list(spec.std)) == ("digits", [0.1], [0.3])


def test_no_defense_shares_a_parameter_with_what_stands_beside_it():
    beside = [set(message.DESCRIPTOR.fields_by_name) for message in (Optimization, Validation, FitOptions)]
    shared = set.union(*beside)
    assert len(shared) == sum(map(len, beside))
    for field in contract.methods(Defense.DESCRIPTOR).values():
        assert not shared & set(field.message_type.fields_by_name)


def test_an_evaluation_takes_texts_messages_and_curves():
    spec = submit.evaluate(
        ["a", Model(name="models/b")],
        "mnist10k",
        ["fgsm:epsilon=0.25", Pgd(steps=5), "iterative-least-likely"],
        curves=["bim:steps=20@0,8/255,0.1", ("fgsm", [0.5])],
        batch_size=10,
    ).evaluation
    assert list(spec.models) == ["a", "models/b"]
    assert [a.WhichOneof("kind") for a in spec.attacks] == ["fgsm", "pgd", "iterative_least_likely"]
    assert spec.curves[0].attack.bim.steps == 20
    assert list(spec.curves[0].epsilons) == [0, 8 / 255, 0.1]
    assert spec.curves[1].attack.WhichOneof("kind") == "fgsm"
    assert submit.evaluate("a", "mnist10k").evaluation.models == ["a"]


@pytest.mark.parametrize(
    "build",
    [
        lambda: requests.attack("plugin:name=own,strength=1/2,re-tries=3"),
        lambda: requests.attack("plugin", name="own", strength="1/2", re_tries=3),
        lambda: requests.attack("plugin", name="own", parameters={"strength": 0.5, "re_tries": 3}),
        lambda: requests.attack(Plugin(name="own"), parameters={"strength": 0.5}, re_tries=3),
    ],
)
def test_a_plugin_takes_whatever_it_knows_by_itself(build):
    assert build().plugin == Plugin(name="own", parameters={"strength": 0.5, "re_tries": 3})


def test_each_class_in_turn_is_a_target():
    assert requests.attack("fooling-cppn:target=each").goal == Goal(targeted=Targeted(each=EachClass()))


@pytest.mark.parametrize("name", contract.methods(Attack.DESCRIPTOR))
def test_every_attack_can_be_asked_for_by_its_name_and_by_its_message(name):
    by_name = requests.attack(name.replace("_", "-"), epsilon=0.5)
    assert by_name.WhichOneof("kind") == name
    assert requests.attack(getattr(by_name, name)) == by_name


def test_a_request_of_ones_own_gets_a_request_id_and_is_not_changed(client, service):
    mine = CreateJobRequest(attack=AttackSpec(model="net"), display_name="mine")
    client.jobs.create(mine)
    assert mine.request_id == ""
    assert service.requests("CreateJob")[0].request_id != ""
    assert service.requests("CreateJob")[0].display_name == "mine"


@pytest.mark.parametrize(
    ("build", "field", "words"),
    [
        (lambda: submit.attack("n", "d", "bmi"), "attack", "known are: fgsm, bim, iterative_least_likely, pgd"),
        (lambda: submit.attack("n", "d", "bim", stepz=1), "stepz", "known are: epsilon, steps, step_size, norm"),
        (lambda: submit.attack("n", "d", "bim", epsilon="8/0"), "epsilon", "like 0.3 or 8/255"),
        (lambda: submit.attack("n", "d", "bim", epsilon=math.nan), "epsilon", "finite"),
        (lambda: submit.attack("n", "d", "bim", steps=2.5), "steps", "whole number"),
        (lambda: submit.attack("n", "d", "bim", steps=-1), "steps", "[0, 4294967295]"),
        (lambda: submit.attack("n", "d", "bim", norm="l1"), "norm", "linf, l2"),
        (lambda: submit.attack("n", "d", "deepfool", norm="NORM_L1"), "norm", "linf, l2"),
        (lambda: submit.attack("n", "d", "square", loss=3), "loss", "cross_entropy, margin"),
        (lambda: submit.attack("n", "d", "bim", epsilon={"a": 1}), "epsilon", "is not a number"),
        (lambda: submit.attack("n", "d", "bim", steps={"a": 1}), "steps", "whole number"),
        (lambda: submit.attack("n", "d", "plugin", parameters=3), "parameters", "mapping of names"),
        (lambda: submit.attack("n", "d", "plugin", strength="strong"), "strength", "is not a number"),
        (lambda: submit.attack("n", "d", "pgd", random_start="yes"), "random_start", "true or false"),
        (lambda: submit.attack("n", "d", "fgsm", target="cat"), "target", "least-likely"),
        (lambda: submit.attack("n", "d", "fgsm", seed=-1), "seed", "[0,"),
        (lambda: submit.attack("n", "", "fgsm"), "dataset", "name"),
        (lambda: submit.attack("n", "d", "fgsm", device="tpu"), "device", "any, cpu, gpu"),
        (lambda: submit.attack("n", "d", "bim:steps"), "attack", "name=value"),
        (lambda: submit.attack("n", "d", Attack()), "attack", "set one of"),
        (lambda: submit.attack("n", "d", FgsmAdversarialTraining()), "attack", "is not one of"),
        (lambda: submit.train("d", "magic"), "defense", "known are: standard"),
        (lambda: submit.evaluate("n", "d", curves=["bim"]), "curve", "bim:steps=20@0,0.05,0.1"),
        (lambda: submit.evaluate("n", "d", curves=["bim@0,x"]), "curve", "'x' is not a number"),
    ],
)
def test_a_bad_value_is_named_with_what_it_should_have_been(build, field, words):
    with pytest.raises(errors.InvalidArgument) as caught:
        build()
    (violation,) = caught.value.violations
    assert violation.field == field
    assert words in violation.description


def test_all_bad_values_are_named_at_once():
    with pytest.raises(ValueError, match="epsilon") as caught:
        submit.attack("n", "d", "bim", epsilon="much", steps="many", restarts=2)
    assert [v.field for v in caught.value.violations] == ["epsilon", "steps", "restarts"]


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6))
def test_a_fraction_is_its_quotient(above, below):
    assert values.number(f"{above}/{below}") == above / below


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_written_out_is_itself(value):
    assert values.number(repr(value)) == value


@given(st.text())
def test_any_text_is_a_finite_number_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert math.isfinite(values.number(text))


@given(st.text(alphabet="0123456789./-+einfa ", max_size=8))
def test_no_text_makes_a_number_that_is_not_finite(text):
    with contextlib.suppress(ValueError):
        assert math.isfinite(values.number(text))


def test_the_methods_of_both_clients_show_the_arguments_of_the_builders():
    for build in (submit.attack, submit.train, submit.evaluate):
        for kind in (sparring.Client, sparring.AsyncClient):
            method = getattr(kind, build.__name__)
            assert list(inspect.signature(method).parameters)[1:] == list(inspect.signature(build).parameters)
            assert method.__doc__ == build.__doc__
