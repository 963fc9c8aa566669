"""The command in a report asks for the very job that the report is of."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from google.protobuf.message import Message
from sparring import contract, requests
from sparring.v1 import attacks_pb2, datasets_pb2, defenses_pb2, jobs_pb2, suites_pb2

from services.cli import waiting
from services.cli.app import run
from workers.run import command

MODEL = jobs_pb2.ResolvedModel(name="models/first")
DATA = datasets_pb2.DataSelection(dataset="datasets/mnist10k", split="test", offset=10, count=100)
EXECUTION = jobs_pb2.Execution(batch_size=64, shard_size=128, device=jobs_pb2.DEVICE_CPU)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch):
    """Run a command and give the request that it would have sent."""
    sent: list[jobs_pb2.CreateJobRequest] = []

    def submit(server: str, request: jobs_pb2.CreateJobRequest, **_: Any) -> int:
        sent.append(request)
        return 0

    monkeypatch.setattr(waiting, "submit", submit)

    def ask(line: str) -> jobs_pb2.CreateJobRequest:
        program, *words = shlex.split(line)
        assert program == "sparring"
        assert run(words) == 0, line
        return sent[-1]

    return ask


def full(message: Message, **values: Any) -> Message:
    """A message with every field set to something that it may be, as the service resolves it."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            getattr(message, field.name).update({"strength": 0.5, "aim": 2})
        elif field.enum_type is not None:
            allowed = contract.parameter(field).allowed
            setattr(message, field.name, allowed[0] if allowed else 1)
        else:
            setattr(message, field.name, "own_attack" if field.type == field.TYPE_STRING else 1)
    for name, value in values.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize("name", [field.name for field in attacks_pb2.Attack.DESCRIPTOR.oneofs_by_name["kind"].fields])
@pytest.mark.parametrize("target", [None, 3, "random", "least-likely", "each"])
def test_attacks(asked, name: str, target: int | str | None) -> None:
    attack = attacks_pb2.Attack()
    full(getattr(attack, name), epsilon=8 / 255)
    if name == "pgd":
        attack.pgd.random_start = False
    about = contract.method(getattr(attack, name).DESCRIPTOR)
    if target is None and about.needs_target:
        target = "each"
    if target is not None and about.targeted:
        attack.goal.CopyFrom(requests.goal(target))
    spec = jobs_pb2.AttackSpec(model="first", data=DATA, attack=attack, seed=2**63 + 1, execution=EXECUTION)
    job = jobs_pb2.Job(attack=spec, resolution=jobs_pb2.Resolution(models=[MODEL]))
    assert asked(command.of_job(job)).attack == spec


def test_evaluations(asked) -> None:
    pgd = attacks_pb2.Attack(pgd=full(attacks_pb2.Pgd(), epsilon=0.3, loss=attacks_pb2.LOSS_MARGIN))
    pgd.goal.CopyFrom(requests.goal("least-likely"))
    fgsm = attacks_pb2.Attack(fgsm=full(attacks_pb2.Fgsm()))
    plugin = attacks_pb2.Attack(plugin=full(attacks_pb2.Plugin()))
    spec = jobs_pb2.EvaluationSpec(
        models=["first", "second"],
        data=DATA,
        attacks=[pgd, fgsm, plugin],
        curves=[jobs_pb2.EpsilonCurve(attack=fgsm, epsilons=[0, 0.1, 1 / 3])],
        seed=4,
        execution=EXECUTION,
    )
    models = [MODEL, jobs_pb2.ResolvedModel(name="models/second")]
    job = jobs_pb2.Job(evaluation=spec, resolution=jobs_pb2.Resolution(models=models))
    assert asked(command.of_job(job)).evaluation == spec


def test_a_suite_is_asked_for_by_its_name_with_what_was_given_beside_it(asked) -> None:
    own, other = (attacks_pb2.Attack(fgsm=full(attacks_pb2.Fgsm(), epsilon=epsilon)) for epsilon in (0.1, 0.05))
    curve = jobs_pb2.EpsilonCurve(attack=own, epsilons=[0.1])
    spec = jobs_pb2.EvaluationSpec(
        models=["first"],
        data=DATA,
        suite=suites_pb2.Suite(
            level=suites_pb2.Suite.LEVEL_STANDARD, norm=attacks_pb2.NORM_L2, epsilon=0.1, attacks=1, curves=1
        ),
        attacks=[own, other],
        curves=[curve],
        adaptive=suites_pb2.Adaptive(adapted="the loss, end to end", knowledge="everything"),
        probes=suites_pb2.Probes(samples=3),
        execution=EXECUTION,
    )
    job = jobs_pb2.Job(evaluation=spec, resolution=jobs_pb2.Resolution(models=[MODEL]))
    again = asked(command.of_job(job)).evaluation
    assert (again.suite.level, again.suite.norm, again.suite.epsilon) == (2, attacks_pb2.NORM_L2, 0.1)
    assert list(again.attacks) == [other]
    assert not again.curves
    assert again.adaptive == spec.adaptive
    assert not again.HasField("probes")


@pytest.mark.parametrize(
    "name", [field.name for field in defenses_pb2.Defense.DESCRIPTOR.oneofs_by_name["kind"].fields]
)
def test_trainings(asked, name: str) -> None:
    defense = defenses_pb2.Defense()
    getattr(defense, name).SetInParent()
    full(getattr(defense, name))
    spec = jobs_pb2.TrainingSpec(
        architecture="wong_cnn",
        data=DATA,
        evaluation_data=datasets_pb2.DataSelection(dataset="datasets/digits", split="test", count=7),
        defense=defense,
        optimization=full(jobs_pb2.Optimization(), learning_rate=0.005, optimizer=jobs_pb2.OPTIMIZER_SGD),
        validation=full(jobs_pb2.Validation(), held_out=0.125, select=jobs_pb2.SELECTION_ROBUST),
        seed=1,
        mean=[0.5],
        std=[0.25],
        device=jobs_pb2.DEVICE_ANY,
    )
    assert asked(command.of_job(jobs_pb2.Job(training=spec))).training == spec


def test_a_training_from_another_model_names_it(asked) -> None:
    spec = jobs_pb2.TrainingSpec(
        data=DATA,
        initial_model="first",
        architecture="wong_cnn",
        defense=defenses_pb2.Defense(standard=defenses_pb2.StandardTraining()),
        optimization=full(jobs_pb2.Optimization()),
        device=jobs_pb2.DEVICE_CPU,
    )
    again = asked(command.of_job(jobs_pb2.Job(training=spec))).training
    assert (again.initial_model, again.architecture) == ("first", "")
