"""What stands around a network, as the gateway sees it: of which defense it is, whether it fits, what it costs.

In units of a forward pass of the network inside, one question to the whole costs

    noise                    votes
    committee                members
    confidence_reduction     3 for the slope, and 1
    glimpses                 glimpses
    autoencoder              1, and what the autoencoder itself takes (`drawing_giga_ops`)
    output_code              1
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from sparring.v1 import components_pb2, defenses_pb2, models_pb2

from services.errors import Violation
from services.gateway import catalog
from services.gateway.defaults import fill
from services.gateway.ranges import check_parameters, fields_of

# The component that a defense builds into its model; its parameters are among the defense's, by the same names.
OF_DEFENSE: Mapping[str, str] = {
    "test_time_noise": "noise",
    "autoencoder": "autoencoder",
    "committee": "committee",
    "confidence_reduction": "confidence_reduction",
    "output_code": "output_code",
    "glimpses": "glimpses",
}

MOST_CODED_CLASSES = 1000
_GRADIENT, _FORWARD = 3, 1


def of_defense(defense: defenses_pb2.Defense) -> components_pb2.Component | None:
    """Return what the models of a defense have around them, defaults filled in; None for nothing."""
    kind = defense.WhichOneof("kind")
    if kind is None or kind not in OF_DEFENSE:
        return None
    given = getattr(defense, kind)
    method = type(given)()
    method.CopyFrom(given)
    # Epochs, which no component has, are all that is left to rules beyond the message.
    fill(method, computed=dict.fromkeys(fields_of(method), 1))
    component = components_pb2.Component()
    part = _part(component, OF_DEFENSE[kind])
    part.SetInParent()
    for name in fields_of(part):
        setattr(part, name, getattr(method, name))
    return component


def check_component(component: components_pb2.Component, classes: int, path: str) -> Iterator[Violation]:
    """Check a component by itself, and whether it can answer for so many classes; 0 where their number is not known."""
    kind = component.WhichOneof("kind")
    if kind is None:
        names = ", ".join(field.name for field in component.DESCRIPTOR.oneofs_by_name["kind"].fields)
        yield Violation(path, f"exactly one of {names} must be set")
        return
    yield from check_parameters(_part(component, kind), f"{path}.{kind}")
    if kind == "output_code":
        yield from check_code(component, classes, f"{path}.{kind}.bits")


def check_code(component: components_pb2.Component, classes: int, path: str) -> Iterator[Violation]:
    """Check that an output code has a word for each class."""
    if component.WhichOneof("kind") != "output_code":
        return
    if classes > MOST_CODED_CLASSES:
        yield Violation(path, f"an output code is for {MOST_CODED_CLASSES} classes at most, not {classes}")
    elif component.output_code.bits < math.ceil(math.log2(max(1, classes))):
        yield Violation(path, f"{component.output_code.bits} bits have too few words for {classes} classes")


def giga_ops(signature: models_pb2.ModelSignature) -> float:
    """Return the billions of multiply-adds of one question to a model, component and all."""
    _, height, width = signature.input_shape
    one = catalog.architectures()[signature.architecture].giga_ops_at(height, width)
    return one * questions(signature.component) + drawing_giga_ops(signature)


def questions(component: components_pb2.Component) -> int:
    """Return how many forward passes of the network inside one question to the whole is worth."""
    match component.WhichOneof("kind"):
        case "noise":
            return component.noise.votes
        case "committee":
            return component.committee.members
        case "confidence_reduction":
            return _GRADIENT + _FORWARD
        case "glimpses":
            return component.glimpses.glimpses
    return _FORWARD


def drawing_giga_ops(signature: models_pb2.ModelSignature) -> float:
    """Return the billions of multiply-adds of the autoencoder in front, for one picture; 0 where there is none."""
    return _drawing_weights(signature) / 1e9


def weights_bytes(signature: models_pb2.ModelSignature) -> int:
    """Estimate the bytes of a model's weights in float32, those of its component included."""
    component = signature.component
    coded = component.WhichOneof("kind") == "output_code"
    outputs = component.output_code.bits if coded else signature.classes
    one = catalog.architectures()[signature.architecture].weights_bytes(signature.input_shape, outputs)
    members = max(1, component.committee.members)
    return one * members + 4 * _drawing_weights(signature)


def _drawing_weights(signature: models_pb2.ModelSignature) -> int:
    """Return the weights of the autoencoder in front; every one is multiplied once for each picture."""
    units, values = signature.component.autoencoder.units, math.prod(signature.input_shape)
    return 2 * values * units + units * units


def _part(component: components_pb2.Component, kind: str) -> Any:
    """Return the message that says which it is."""
    return getattr(component, kind)
