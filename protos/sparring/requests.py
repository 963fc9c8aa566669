"""Plain values in, specs of jobs out: what `client.attack`, `train`, `evaluate` and `poison` send.

An attack is its message, its name, or its name with parameters: `bim:epsilon=8/255,steps=20,target=random`. What a
plug-in takes stands among them: `plugin:name=my_attack,strength=0.5`.
A curve is such an attack and its radii: `bim:steps=20@0,0.05,0.1`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from sparring import contract, names
from sparring.errors import InvalidArgument, Violation
from sparring.names import JobLike
from sparring.v1.attacks_pb2 import Attack, EachClass, Goal, LeastLikelyTarget, RandomTarget
from sparring.v1.components_pb2 import Component
from sparring.v1.datasets_pb2 import DataSelection, Dataset
from sparring.v1.defenses_pb2 import Defense
from sparring.v1.jobs_pb2 import (
    AttackSpec,
    CreateJobRequest,
    EpsilonCurve,
    EvaluationSpec,
    PoisoningSpec,
    TrainingSpec,
)
from sparring.v1.poisoning_pb2 import Poison
from sparring.v1.suites_pb2 import Suite
from sparring.values import UINT32_MAX, Value, fill, number, whole

# Attack, or one of the messages that it may hold, such as Bim; any other is refused.
AttackLike = str | Message
# Defense, or one of the messages that it may hold, such as Trades; any other is refused.
DefenseLike = str | Message
DataLike = str | Dataset | DataSelection
# Component, or one of the messages that it may hold, such as NoiseComponent; any other is refused.
ComponentLike = str | Message
# Poison, or one of the messages that it may hold, such as Backdoor; any other is refused.
PoisonLike = str | Message
SuiteLike = str | Suite
CurveLike = str | EpsilonCurve | tuple[AttackLike, Sequence[float]]
Target = int | str | Goal
Spec = AttackSpec | TrainingSpec | EvaluationSpec | PoisoningSpec

_Family = TypeVar("_Family", Attack, Component, Defense, Poison)


def bad(field: str, description: str) -> InvalidArgument:
    """One bad value, found before anything is sent."""
    return InvalidArgument.of([Violation(field, description)])


def goal(target: Target) -> Goal:
    """What an attack is after: a class by its number, `random`, `least-likely`, or `each` in turn."""
    if isinstance(target, Goal):
        return target
    wanted = Goal()
    if isinstance(target, str) and target.replace("-", "_") == "least_likely":
        wanted.targeted.least_likely.CopyFrom(LeastLikelyTarget())
    elif target == "random":
        wanted.targeted.random.CopyFrom(RandomTarget())
    elif target == "each":
        wanted.targeted.each.CopyFrom(EachClass())
    else:
        try:
            wanted.targeted.label = whole(target, 0, UINT32_MAX)
        except ValueError:
            raise bad("target", f"{target!r} is not a class's number, 'random', 'least-likely' or 'each'") from None
    return wanted


def _method(family: type[_Family], kind: str | Message, parameters: Mapping[str, Value | None]) -> _Family:
    """Wrap a method's message, or build it from its name, and set the parameters on it."""
    label = family.DESCRIPTOR.name.lower()
    built, known = family(), contract.methods(family.DESCRIPTOR)
    if isinstance(kind, family):
        built.CopyFrom(kind)
    elif isinstance(kind, str):
        name = kind.replace("-", "_")
        if name not in known:
            raise bad(label, f"there is no {label} {kind!r}; known are: {', '.join(known)}")
        getattr(built, name).SetInParent()
    else:
        holders = [name for name, field in known.items() if field.message_type == kind.DESCRIPTOR]
        if not holders:
            raise bad(label, f"a {kind.DESCRIPTOR.name} is not one of: {', '.join(known)}")
        getattr(built, holders[0]).CopyFrom(kind)
    chosen = built.WhichOneof("kind")
    if chosen is None:
        raise bad(label, "the message is empty; set one of: " + ", ".join(known))
    fill([getattr(built, chosen)], parameters)
    return built


def parse_pairs(text: str, field: str) -> dict[str, str]:
    """Read `epsilon=0.3,step-size=0.01`."""
    pairs = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise bad(field, f"{pair!r} is not of the form name=value")
        pairs[name.strip().replace("-", "_")] = value.strip()
    return pairs


def attack(kind: AttackLike, target: Target | None = None, **parameters: Value | None) -> Attack:
    """Build an attack from its message or text, with parameters and a goal of its own."""
    method: str | Message = kind
    given: dict[str, str] = {}
    if isinstance(kind, str):
        method, _, text = kind.partition(":")
        given = parse_pairs(text, "attack")
        written = given.pop("target", None)
        target = written if target is None else target
    built = _method(Attack, method, {**given, **parameters})
    if target is not None:
        built.goal.CopyFrom(goal(target))
    return built


def component(kind: ComponentLike) -> Component:
    """Build what stands around a network from its message or text, such as `noise:sigma=0.1,votes=4`."""
    method: str | Message = kind
    given: dict[str, str] = {}
    if isinstance(kind, str):
        method, _, text = kind.partition(":")
        given = parse_pairs(text, "component")
    return _method(Component, method, given)


def curve(kind: CurveLike) -> EpsilonCurve:
    """Build a curve from its message, its text, or a pair of an attack and its radii."""
    if isinstance(kind, EpsilonCurve):
        return kind
    if isinstance(kind, str):
        text, at, radii = kind.rpartition("@")
        base: AttackLike = text
        if not at:
            raise bad("curve", f"{kind!r} has no radii; write it like bim:steps=20@0,0.05,0.1")
        parts: Sequence[float | str] = radii.split(",")
    else:
        base, parts = kind
    try:
        epsilons = [number(part) for part in parts]
    except ValueError as error:
        raise bad("curve", str(error)) from None
    return EpsilonCurve(attack=attack(base), epsilons=epsilons)


def suite(kind: SuiteLike) -> Suite:
    """Build a suite from its message or text, such as `quick:epsilon=8/255,norm=l2`."""
    if isinstance(kind, Suite):
        return kind
    level, _, text = kind.partition(":")
    built = Suite()
    fill([built], {"level": level, **parse_pairs(text, "suite")})
    return built


def selection(data: DataLike, split: str = "", offset: int = 0, count: int = 0) -> DataSelection:
    """Which samples a job takes; `count` 0 means all from `offset` on."""
    chosen = DataSelection()
    if isinstance(data, DataSelection):
        chosen.CopyFrom(data)
    else:
        chosen.dataset = names.dataset(data)
    given: dict[str, Value | None] = {"split": split, "offset": offset, "count": count}
    fill([chosen], {name: value for name, value in given.items() if value not in ("", 0)})
    return chosen


def execution(spec: AttackSpec | EvaluationSpec, **values: Value | None) -> None:
    """Set how a job is cut up: batch_size, shard_size, and on what device; None is left to the server."""
    fill([spec.execution], values)


def training(
    data: DataSelection, defense: DefenseLike, parameters: Mapping[str, Value | None], **fields: Any
) -> TrainingSpec:
    """Build a training; a parameter is the defense's, optimization's, validation's or fit's (they share no name)."""
    method: str | Message = defense
    given: dict[str, str] = {}
    if isinstance(defense, str):
        method, _, text = defense.partition(":")
        given = parse_pairs(text, "defense")
    spec = TrainingSpec(data=data, defense=_method(Defense, method, {}), **fields)
    chosen = getattr(spec.defense, str(spec.defense.WhichOneof("kind")))
    fill([chosen, spec.optimization, spec.validation, spec.fitting], {**given, **parameters})
    return spec


def poisoning(
    data: DataSelection, poison: PoisonLike, parameters: Mapping[str, Value | None], **fields: Any
) -> PoisoningSpec:
    """Build a poisoning; a parameter is the poison's, the optimization's or the fit's (they share no name)."""
    method: str | Message = poison
    given: dict[str, str] = {}
    if isinstance(poison, str):
        method, _, text = poison.partition(":")
        given = parse_pairs(text, "poison")
    spec = PoisoningSpec(data=data, poison=_method(Poison, method, {}), **fields)
    chosen = getattr(spec.poison, str(spec.poison.WhichOneof("kind")))
    fill([chosen, spec.optimization, spec.fitting], {**given, **parameters})
    return spec


def create(
    spec: Spec | CreateJobRequest,
    *,
    request_id: str = "",
    validate_only: bool = False,
    display_name: str = "",
    deadline_s: float | None = None,
    queue_limit_s: float | None = None,
    after: Sequence[JobLike] = (),
    reuse: bool = False,
) -> CreateJobRequest:
    """Build the request of CreateJob; it always carries a request_id, so that sending it twice makes one job.

    `deadline_s`: seconds that the job may take, `queue_limit_s`: that it may wait for a worker; None: no limit.
    `after`: jobs that have to succeed before. `reuse`: where the same has been computed already, that job will do.
    """
    request = CreateJobRequest()
    if isinstance(spec, CreateJobRequest):
        request.CopyFrom(spec)
    elif isinstance(spec, AttackSpec):
        request.attack.CopyFrom(spec)
    elif isinstance(spec, TrainingSpec):
        request.training.CopyFrom(spec)
    elif isinstance(spec, PoisoningSpec):
        request.poisoning.CopyFrom(spec)
    else:
        request.evaluation.CopyFrom(spec)
    if request_id:
        request.request_id = request_id
    if display_name:
        request.display_name = display_name
    if deadline_s is not None or queue_limit_s is not None:
        fill([request.limits], {"deadline_seconds": deadline_s, "queue_seconds": queue_limit_s})
    request.after.extend(names.job(job) for job in after)
    request.reuse = request.reuse or reuse
    request.validate_only = request.validate_only or validate_only
    if not request.request_id:
        request.request_id = str(uuid.uuid4())
    return request
