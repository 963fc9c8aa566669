"""The contract's messages as the plain values that the mathematics takes.

Attacks and defenses are read by the names of their fields, so a new one needs no line here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Literal, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from sparring.v1 import attacks_pb2, components_pb2, datasets_pb2, defenses_pb2, jobs_pb2, models_pb2, options_pb2
from sparring.values import is_map, prefix

from workers.attacks import ATTACKS
from workers.engine.attack import AttackPlan, GoalSpec
from workers.evaluation import DataInfo, Knowledge, ModelInfo, RunInfo
from workers.models import Signature
from workers.models.components import COMPONENTS, Component

GoalKind = Literal["untargeted", "label", "random", "least_likely", "each"]

SOURCES = {
    datasets_pb2.DATASET_SOURCE_BUILT_IN: "built-in",
    datasets_pb2.DATASET_SOURCE_MOUNTED: "mounted",
    datasets_pb2.DATASET_SOURCE_UPLOADED: "uploaded",
}


def bare(name: str) -> str:
    """The id in a name such as `models/first`."""
    return name.rpartition("/")[2]


def chosen(message: Message, oneof: str = "kind") -> tuple[str, Message]:
    """The name and the message of the field of `oneof` that is set."""
    name = message.WhichOneof(oneof)
    if name is None:
        raise ValueError(f"{message.DESCRIPTOR.full_name} says nothing")
    return name, getattr(message, name)


def method(message: Message) -> options_pb2.Method:
    """What the contract says of an attack or a defense."""
    return message.DESCRIPTOR.GetOptions().Extensions[options_pb2.method]


def values(message: Message) -> dict[str, Any]:
    """Every parameter of an attack or a defense, by its name; enum values in lower case without their prefix.

    What a plug-in takes beside them is in `extras`.
    """
    fields = [field for field in message.DESCRIPTOR.fields if not is_map(cast("FieldDescriptor", field))]
    found = {field.name: getattr(message, field.name) for field in fields}
    enums = {field.name: field.enum_type for field in fields if field.enum_type is not None}
    return found | {name: _short(enum, found[name]) for name, enum in enums.items()}


def extras(message: Message) -> dict[str, float]:
    """The parameters that a plug-in takes beside those of the contract, by name; of any other attack, none."""
    maps = [field.name for field in message.DESCRIPTOR.fields if is_map(cast("FieldDescriptor", field))]
    return {name: value for field in maps for name, value in sorted(getattr(message, field).items())}


def _short(enum: Any, number: int) -> str:
    """E.g. LOSS_CROSS_ENTROPY -> cross_entropy: without what it shares with the enum's zero."""
    name: str = enum.values_by_number[number].name
    return name.removeprefix(prefix(enum)).lower()


def signature(message: models_pb2.ModelSignature) -> Signature:
    """What a network is besides its weights."""
    channels, height, width = message.input_shape
    shape = (channels, height, width)
    around = component(message.component) if message.HasField("component") else None
    return Signature(message.architecture, shape, message.classes, tuple(message.mean), tuple(message.std), around)


def component(message: components_pb2.Component) -> Component:
    """What stands around a network."""
    name, settings = chosen(message)
    return COMPONENTS[name](**values(settings))


def component_message(what: Component) -> components_pb2.Component:
    """The other way."""
    name = next(name for name, kind in COMPONENTS.items() if isinstance(what, kind))
    made = components_pb2.Component()
    part = getattr(made, name)
    part.SetInParent()
    for field, value in asdict(cast("Any", what)).items():
        setattr(part, field, value)
    return made


def signature_message(what: Signature) -> models_pb2.ModelSignature:
    """The other way."""
    return models_pb2.ModelSignature(
        architecture=what.architecture,
        input_shape=what.input_shape,
        classes=what.classes,
        mean=what.mean,
        std=what.std,
        component=None if what.component is None else component_message(what.component),
    )


def goal(attack: attacks_pb2.Attack) -> GoalSpec:
    """What an attack is after."""
    own = ATTACKS[chosen(attack)[0]].own_goal
    if own is not None:
        return GoalSpec(kind=cast("GoalKind", own))
    if attack.goal.WhichOneof("kind") != "targeted":
        return GoalSpec(kind="untargeted")
    kind = cast("GoalKind", attack.goal.targeted.WhichOneof("choice"))
    return GoalSpec(kind=kind, label=attack.goal.targeted.label if kind == "label" else None)


def runs(job: jobs_pb2.Job) -> list[tuple[str, int | None, attacks_pb2.Attack]]:
    """Every attack of a job with its key in the shards and its curve, the table first, then the curves."""
    if job.HasField("attack"):
        return [("a0", None, job.attack.attack)]
    table = [(f"a{i}", None, attack) for i, attack in enumerate(job.evaluation.attacks)]
    return [*table, *_curves(job.evaluation)]


def _curves(spec: jobs_pb2.EvaluationSpec) -> Iterator[tuple[str, int, attacks_pb2.Attack]]:
    for i, curve in enumerate(spec.curves):
        for j, epsilon in enumerate(curve.epsilons):
            yield f"c{i}.{j}", i, _at(curve.attack, epsilon)


def _at(attack: attacks_pb2.Attack, epsilon: float) -> attacks_pb2.Attack:
    """The attack at another radius: steps kept, step_size scaled with it. At radius 0 no step leads anywhere."""
    result = attacks_pb2.Attack()
    result.CopyFrom(attack)
    _, message = chosen(result)
    before, at = values(message), {"epsilon": epsilon}
    if "step_size" in before and epsilon > 0 and before["epsilon"] > 0:
        at["step_size"] = before["step_size"] * epsilon / before["epsilon"]
    for parameter, value in at.items():
        setattr(message, parameter, value)
    return result


def plan(attack: attacks_pb2.Attack) -> AttackPlan:
    """What the engine is to run."""
    name, message = chosen(attack)
    parameters = values(message) | extras(message)
    epsilon, norm = parameters.pop("epsilon"), parameters.pop("norm", "linf")
    return AttackPlan(name=name, parameters=parameters, norm=norm, epsilon=epsilon, goal=goal(attack))


def run_info(key: str, curve: int | None, attack: attacks_pb2.Attack) -> RunInfo:
    """What the report says of one attack."""
    name, message = chosen(attack)
    about, parameters, aim = method(message), values(message) | extras(message), goal(attack)
    norm = parameters.pop("norm", "linf")
    return RunInfo(
        key=key,
        attack=name,
        title=about.title,
        parameters=parameters,
        norm=norm,
        epsilon=parameters["epsilon"],
        goal=aim.kind,
        goal_label=aim.label,
        curve=curve,
        paper=about.paper,
        citation=about.citation,
        formula=about.formula,
        knowledge=cast("Knowledge", about.knowledge),
        minimum=about.minimum,
        stages=_stages(name, parameters),
    )


def _stages(name: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The attacks of an ensemble's stages."""
    stages = ATTACKS[name].stages
    return () if stages is None else tuple(stage.name for stage in stages(parameters))


def model_info(model: jobs_pb2.ResolvedModel) -> ModelInfo:
    """What the report says of one model."""
    what = signature(model.signature)
    about = _defense(model.defense)
    return ModelInfo(
        name=model.name,
        defense=model.defense,
        weights_sha256=model.weights_sha256,
        architecture=what.architecture,
        input_shape=what.input_shape,
        classes=what.classes,
        mean=what.mean,
        std=what.std,
        component="" if what.component is None else _told(what.component),
        answers_at_random=what.component is not None and what.component.random,
        paper=about.paper,
        citation=about.citation,
    )


def _told(what: Component) -> str:
    """A component in words: "noise (sigma 0.1, votes 4)"."""
    name, settings = chosen(component_message(what))
    told = ", ".join(f"{field.replace('_', ' ')} {_plainly(value)}" for field, value in values(settings).items())
    return f"{name.replace('_', ' ')} ({told})"


def _plainly(value: float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}"


def _defense(name: str) -> options_pb2.Method:
    field = defenses_pb2.Defense.DESCRIPTOR.fields_by_name.get(name)
    if field is None or field.message_type is None:
        return options_pb2.Method()
    return field.message_type.GetOptions().Extensions[options_pb2.method]


def data_info(data: jobs_pb2.ResolvedData, *, digest: str, note: str) -> DataInfo:
    """What the report says of the samples."""
    return DataInfo(
        dataset=data.dataset,
        split=data.split,
        offset=data.offset,
        count=data.count,
        source=SOURCES[data.source],
        digest=digest,
        note=note,
    )


def unit_range(job: jobs_pb2.Job, unit: int) -> tuple[int, int, int]:
    """Which model a unit is about, and its samples [start, stop) of the selection."""
    spec = job.attack if job.HasField("attack") else job.evaluation
    model, shard = divmod(unit, job.resolution.shards)
    size, count = spec.execution.shard_size, job.resolution.data.count
    return model, shard * size, min((shard + 1) * size, count)
