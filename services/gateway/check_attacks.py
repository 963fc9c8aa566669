"""Checks of attacks, goals and curves: first what a request alone can say, then what depends on the model.

Paths are those of the request, e.g. `evaluation.attacks[2].bim.steps`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from google.protobuf.message import Message
from sparring.radii import NO_LIMIT
from sparring.v1 import attacks_pb2, jobs_pb2

from services.errors import Violation
from services.gateway import catalog
from services.gateway.attack_rules import check_rules
from services.gateway.ranges import check_parameters, fields_of, interval, number, parameter_of, within

MAX_EPSILONS = 32


def check_attack(attack: attacks_pb2.Attack, path: str) -> Iterator[Violation]:
    """Check one attack and its goal."""
    kind = attack.WhichOneof("kind")
    if kind is None:
        yield Violation(path, f"exactly one of {_alternatives(attack, 'kind')} must be set")
    else:
        method = getattr(attack, kind)
        out_of_range = list(check_method(method, f"{path}.{kind}"))
        yield from out_of_range or check_rules(kind, method, f"{path}.{kind}")
    yield from _check_goal(attack, kind, f"{path}.goal")


def check_method(method: Message, path: str) -> Iterator[Violation]:
    """Check the parameters of an attack or a defense, and that its radius fits its norm."""
    yield from check_parameters(method, path)
    epsilon = number(method, "epsilon")
    if "norm" in fields_of(method) and epsilon is not None:
        yield from check_radius(method, epsilon, f"{path}.epsilon")


def check_radius(method: Message, epsilon: float, path: str) -> Iterator[Violation]:
    """Check a radius that is in the range of its field against the largest of its norm: 1 for NORM_LINF."""
    norm, rule = _norm(method), parameter_of(fields_of(method)["epsilon"])
    largest = NO_LIMIT.get(norm, math.inf)
    if rule is not None and within(epsilon, rule) and epsilon > largest:
        advice = "; pixels are in [0, 1], so 8 grey levels are 8/255" if norm == attacks_pb2.NORM_LINF else ""
        name = attacks_pb2.Norm.Name(norm)
        yield Violation(path, f"must be in [0, {largest:g}] for {name}, not {epsilon:g}{advice}")


def _norm(method: Message) -> attacks_pb2.Norm.ValueType:
    """The norm of a method, or what it means to leave it unset; one without a choice has NORM_LINF."""
    field = fields_of(method).get("norm")
    if field is None:
        return attacks_pb2.NORM_LINF
    rule = parameter_of(field)
    assert rule is not None
    chosen: attacks_pb2.Norm.ValueType = getattr(method, "norm")  # noqa: B009 - not every message has it
    return attacks_pb2.Norm.Value(rule.default_value) if chosen == attacks_pb2.NORM_UNSPECIFIED else chosen


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
    method = None if kind is None else getattr(attack, kind)
    if getattr(method, "loss", None) != attacks_pb2.LOSS_DLR:
        return
    towards = attack.goal.WhichOneof("kind") == "targeted" or getattr(method, "targets", 0) > 0
    needed = 4 if towards else 3  # arXiv:2003.01690, eq. 7 and eq. 6
    if classes < needed:
        what = " with a target" if towards else ""
        message = f"LOSS_DLR needs {needed} classes or more{what}, the model has {classes}"
        yield Violation(f"{path}.{kind}.loss", message)


def _check_goal(attack: attacks_pb2.Attack, kind: str | None, path: str) -> Iterator[Violation]:
    """Check that a goal says what it is, and that the attack takes it."""
    goal = attack.goal
    chosen = goal.WhichOneof("kind")
    if attack.HasField("goal") and chosen is None:
        yield Violation(path, f"exactly one of {_alternatives(goal, 'kind')} must be set")
    if chosen == "targeted" and goal.targeted.WhichOneof("choice") is None:
        yield Violation(f"{path}.targeted", f"exactly one of {_alternatives(goal.targeted, 'choice')} must be set")
    if kind is None:
        return
    if chosen == "targeted" and not catalog.targeted(kind):
        yield Violation(f"{path}.targeted", f"{kind} can't be steered to a chosen class; leave the goal unset")
    elif chosen != "targeted" and catalog.attack(kind).needs_target:
        yield Violation(
            f"{path}.targeted",
            f"must be set: {kind} makes a picture of a chosen class; `each` takes every class in turn",
        )


def _alternatives(message: Message, oneof: str) -> str:
    return ", ".join(field.name for field in message.DESCRIPTOR.oneofs_by_name[oneof].fields)
