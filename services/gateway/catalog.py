"""What there is to choose from, read from the contract's own descriptors and from two tables beside this file.

attacks, defenses,    the fields of `Attack.kind`, `Defense.kind` and `Poison.kind`, with their `method` and
poisons               `parameter` options
architectures         architectures.json; equal to `workers.models.architectures()`, which a contract test checks
built-in datasets     builtin.json; equal to `workers.data.BUILT_IN`, which a contract test checks

Messages are shared between calls: whoever changes one copies it first.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from sparring.v1 import attacks_pb2, catalog_pb2, datasets_pb2, defenses_pb2, fitting_pb2, options_pb2, poisoning_pb2

from services.gateway import comments
from services.gateway.ranges import allowed_names, parameter_of

_HERE = Path(__file__).parent

_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    # The only field of a message type is the map of a plug-in's own parameters.
    FieldDescriptor.TYPE_MESSAGE: "map<string, double>",
}


@dataclass(frozen=True)
class Architecture:
    """An architecture and what one forward pass of it costs."""

    name: str
    description: str
    # arXiv id, or empty.
    paper: str
    # Multiply-adds of one forward pass of one input of `side` x `side` pixels, in billions.
    giga_ops: float
    # Pixels.
    side: int
    # The sides that the network itself takes, in pixels; a smaller or larger input is resized to them first.
    smallest: int
    largest: int
    # How many parameters it has: the sum of `fixed`, `per_class` x classes, `per_value` x values of an input,
    # `per_place` x places of an input that is halved twice, and `per_class_value` x classes x values.
    parameters: Mapping[str, int]
    # The fields of `FitOptions` that its fit takes; empty where it can't be fitted.
    fitting: Sequence[str] = ()
    # Of what is fitted, for each tensor its type in safetensors' words and a letter for each size (`check_tensors`).
    # Sizes are found by the fit, so `parameters` says next to nothing of it. None: a network.
    tensors: Mapping[str, str] | None = None

    @property
    def fitted(self) -> bool:
        """Tell whether there is no other way to it than a fit."""
        return self.tensors is not None

    def sees(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that an input has after that."""
        return min(max(height, self.smallest), self.largest), min(max(width, self.smallest), self.largest)

    def giga_ops_at(self, height: int, width: int) -> float:
        """Estimate the billions of multiply-adds of one input of another size: they grow with its area."""
        height, width = self.sees(height, width)
        return self.giga_ops * height * width / self.side**2

    def weights_bytes(self, input_shape: Sequence[int], classes: int) -> int:
        """Estimate the bytes of its weights in float32, for inputs of (channels, height, width)."""
        channels, height, width = input_shape
        height, width = self.sees(height, width)
        values = channels * height * width
        sizes = {
            "fixed": 1,
            "per_class": classes,
            "per_value": values,
            "per_place": height * width // 16,
            "per_class_value": classes * values,
        }
        return 4 * sum(number * sizes[what] for what, number in self.parameters.items())


@functools.cache
def attacks() -> tuple[catalog_pb2.MethodInfo, ...]:
    """Return every attack, in the order of the contract."""
    return tuple(_methods(attacks_pb2.Attack.DESCRIPTOR))


@functools.cache
def defenses() -> tuple[catalog_pb2.MethodInfo, ...]:
    """Return every defense, in the order of the contract."""
    return tuple(_methods(defenses_pb2.Defense.DESCRIPTOR))


@functools.cache
def poisons() -> tuple[catalog_pb2.MethodInfo, ...]:
    """Return every poison of training sets, in the order of the contract."""
    return tuple(_methods(poisoning_pb2.Poison.DESCRIPTOR))


@functools.cache
def architectures() -> Mapping[str, Architecture]:
    """Return every architecture by name: Sparring's own, what is fitted, torchvision's, each in alphabetical order."""
    families: dict[str, list[dict[str, Any]]] = json.loads((_HERE / "architectures.json").read_text(encoding="utf-8"))
    return {row["name"]: Architecture(**row) for family in ("own", "fitted", "torchvision") for row in families[family]}


@functools.cache
def fit_options() -> Mapping[str, catalog_pb2.ParameterInfo]:
    """Return what fits take, by name."""
    text = comments.load()
    return {option.name: _parameter(option, text) for option in fitting_pb2.FitOptions.DESCRIPTOR.fields}


@functools.cache
def built_in_datasets() -> Mapping[str, datasets_pb2.Dataset]:
    """Return the datasets that ship with Sparring, by their id without prefix."""
    rows: list[dict[str, Any]] = json.loads((_HERE / "builtin.json").read_text(encoding="utf-8"))
    datasets = [json_format.ParseDict(row, datasets_pb2.Dataset()) for row in rows]
    return {dataset.name.removeprefix("datasets/"): dataset for dataset in datasets}


def attack(name: str) -> catalog_pb2.MethodInfo:
    """Return what the contract says of an attack, as its field is named."""
    return _by_name()[name]


def targeted(name: str) -> bool:
    """Tell whether an attack, as its field is named, takes a targeted goal."""
    return attack(name).targeted


@functools.cache
def _by_name() -> Mapping[str, catalog_pb2.MethodInfo]:
    return {info.name: info for info in attacks()}


def _methods(owner: Descriptor) -> Iterator[catalog_pb2.MethodInfo]:
    """Describe each message that the oneof `kind` of `owner` may hold."""
    text = comments.load()
    for field in owner.oneofs_by_name["kind"].fields:
        message = field.message_type
        assert message is not None
        method = message.GetOptions().Extensions[options_pb2.method]
        yield catalog_pb2.MethodInfo(
            name=field.name,
            title=method.title,
            summary=method.summary,
            paper=method.paper,
            citation=method.citation,
            formula=method.formula,
            differs=method.differs,
            targeted=method.targeted,
            knowledge=method.knowledge,
            minimum=method.minimum,
            needs_target=method.needs_target,
            cost=method.cost,
            measured=method.measured,
            parameters=[_parameter(parameter, text) for parameter in message.fields],
        )


def _parameter(field: FieldDescriptor, text: Mapping[str, str]) -> catalog_pb2.ParameterInfo:
    """Describe one parameter of a method."""
    rule = parameter_of(field)
    assert rule is not None, f"{field.full_name} has no parameter option"
    return catalog_pb2.ParameterInfo(
        name=field.name,
        type="|".join(allowed_names(field)) if field.enum_type is not None else _TYPES[field.type],
        minimum=rule.minimum if rule.HasField("minimum") else None,
        maximum=rule.maximum if rule.HasField("maximum") else None,
        minimum_exclusive=rule.minimum_exclusive,
        default_value=rule.default_value or rule.default_rule,
        unit=rule.unit,
        paper=rule.paper,
        description=text[field.full_name],
    )
