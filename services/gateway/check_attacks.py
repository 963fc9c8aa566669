"""Checks of attacks, goals and curves: first what a request alone can say, then what depends on the model.

Paths are those of the request, e.g. `evaluation.attacks[2].bim.steps`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from google.protobuf.message import Message
from sparring.v1 import attacks_pb2, jobs_pb2

from services.errors import Violation
from services.gateway import catalog
from services.gateway.ranges import check_parameters, fields_of, interval, number, parameter_of, within

MAX_EPSILONS = 32


def check_attack(attack: attacks_pb2.Attack, path: str) -> Iterator[Violation]:
    """Check one attack and its goal."""
    kind = attack.WhichOneof("kind")
    if kind is None:
        yield Violation(path, f"exactly one of {_alternatives(attack, 'kind')} must be set")
    else:
        yield from check_method(getattr(attack, kind), f"{path}.{kind}")
    if attack.HasField("goal"):
        yield from _check_goal(attack.goal, kind, f"{path}.goal")


def check_method(method: Message, path: str) -> Iterator[Violation]:
    """Check the parameters of an attack or a defense, and that its radius fits its norm."""
    yield from check_parameters(method, path)
    epsilon = number(method, "epsilon")
    if "norm" in fields_of(method) and epsilon is not None:
        yield from check_radius(method, epsilon, f"{path}.epsilon")


def check_radius(method: Message, epsilon: float, path: str) -> Iterator[Violation]:
    """Check a radius against the unit box where the norm is NORM_LINF, which is also what an unset norm means."""
    linf = getattr(method, "norm", attacks_pb2.NORM_LINF) in (attacks_pb2.NORM_UNSPECIFIED, attacks_pb2.NORM_LINF)
    if linf and 1 < epsilon <= 1000:
        yield Violation(
            path, f"must be in [0, 1] for NORM_LINF, not {epsilon:g}; pixels are in [0, 1], so 8 grey levels are 8/255"
        )


def check_curve(curve: jobs_pb2.EpsilonCurve, path: str) -> Iterator[Violation]:
    """Check a curve's attack and its radii."""
    yield from check_attack(curve.attack, f"{path}.attack")
    if not 1 <= len(curve.epsilons) <= MAX_EPSILONS:
        yield Violation(f"{path}.epsilons", f"must hold 1 to {MAX_EPSILONS} radii, not {len(curve.epsilons)}")
    kind = curve.attack.WhichOneof("kind")
    if kind is None:
        return
    method: Message = getattr(curve.attack, kind)
    rule = parameter_of(fields_of(method)["epsilon"])
    assert rule is not None
    for index, epsilon in enumerate(curve.epsilons):
        name = f"{path}.epsilons[{index}]"
        if not math.isfinite(epsilon):
            yield Violation(name, f"must be a finite number, not {epsilon}")
        elif not within(epsilon, rule):
            yield Violation(name, f"must be in {interval(rule)}, not {epsilon:g}")
        else:
            yield from check_radius(method, epsilon, name)
    if "step_size" in fields_of(method) and number(method, "epsilon") == 0:
        yield Violation(f"{path}.attack.{kind}.epsilon", "must be above 0: the step size is scaled from it")


def check_attack_on(attack: attacks_pb2.Attack, classes: int, path: str) -> Iterator[Violation]:
    """Check an attack against the number of classes of the model."""
    target = attack.goal.targeted
    if target.WhichOneof("choice") == "label" and target.label >= classes:
        yield Violation(
            f"{path}.goal.targeted.label", f"must be below the number of classes, {classes}, not {target.label}"
        )
    kind = attack.WhichOneof("kind")
    if kind is None or getattr(getattr(attack, kind), "loss", None) != attacks_pb2.LOSS_DLR:
        return
    targeted = attack.goal.WhichOneof("kind") == "targeted"
    needed = 4 if targeted else 3  # arXiv:2003.01690, eq. 7 and eq. 6
    if classes < needed:
        towards = " with a target" if targeted else ""
        message = f"LOSS_DLR needs {needed} classes or more{towards}, the model has {classes}"
        yield Violation(f"{path}.{kind}.loss", message)


def _check_goal(goal: attacks_pb2.Goal, attack: str | None, path: str) -> Iterator[Violation]:
    """Check that a goal says what it is, and that the attack takes it."""
    kind = goal.WhichOneof("kind")
    if kind is None:
        yield Violation(path, f"exactly one of {_alternatives(goal, 'kind')} must be set")
    if kind != "targeted":
        return
    if goal.targeted.WhichOneof("choice") is None:
        yield Violation(f"{path}.targeted", f"exactly one of {_alternatives(goal.targeted, 'choice')} must be set")
    if attack is not None and not catalog.targeted(attack):
        yield Violation(f"{path}.targeted", f"{attack} has a target of its own; leave the goal unset")


def _alternatives(message: Message, oneof: str) -> str:
    return ", ".join(field.name for field in message.DESCRIPTOR.oneofs_by_name[oneof].fields)
