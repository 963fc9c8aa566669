"""Checks that the contract states itself: the `parameter` option of a field says what the field may be.

Every check is a generator of violations with the field's full path in the request, so that nothing stops at the first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from sparring.v1 import options_pb2

from services.errors import Violation

# What no range can be about: `attack_rules` has the checks of a plug-in's name and of its parameters.
_UNRANGED = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE)


@functools.cache
def parameter_of(field: FieldDescriptor) -> options_pb2.Parameter | None:
    """Return the field's option, or None where it has none."""
    options = field.GetOptions()
    return options.Extensions[options_pb2.parameter] if options.HasExtension(options_pb2.parameter) else None


def fields_of(message: Message) -> Mapping[str, FieldDescriptor]:
    """Return the fields of a message by name, in the order of the contract."""
    # The stubs know two implementations of descriptors; both have the same attributes.
    return _fields(cast("Descriptor", message.DESCRIPTOR))


@functools.cache
def _fields(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    return {field.name: field for field in descriptor.fields}


def is_set(message: Message, field: FieldDescriptor) -> bool:
    """Tell whether the client gave the field a value; for an enum, one that is not `..._UNSPECIFIED`."""
    return message.HasField(field.name) if field.has_presence else bool(getattr(message, field.name))


def number(message: Message, name: str) -> float | None:
    """Return the value of a numeric field, or None where the client left it unset or the message has no such field."""
    field = fields_of(message).get(name)
    if field is None or not is_set(message, field):
        return None
    value: float = getattr(message, name)
    return value


def or_default(message: Message, name: str) -> float:
    """Return the value of a numeric field, or its plain default where the client left it unset."""
    value = number(message, name)
    if value is not None:
        return value
    rule = parameter_of(fields_of(message)[name])
    assert rule is not None
    return float(rule.default_value)


def check_parameters(message: Message, path: str) -> Iterator[Violation]:
    """Check every field of `message` that carries the option; the fields of its sub-messages are not looked at."""
    for field in fields_of(message).values():
        rule = parameter_of(field)
        if rule is None:
            continue
        name = f"{path}.{field.name}" if path else field.name
        if is_set(message, field):
            if field.type not in _UNRANGED:
                yield from check_value(getattr(message, field.name), field, rule, name)
        elif rule.required:
            yield Violation(name, "must be set")


def check_value(value: float, field: FieldDescriptor, rule: options_pb2.Parameter, name: str) -> Iterator[Violation]:
    """Check one number against its range, or an enum's number against the values that are allowed."""
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(int(value))
        if known is None or known.name not in allowed_names(field):
            said = value if known is None else known.name
            yield Violation(name, f"{said} is none of {', '.join(allowed_names(field))}")
    elif not math.isfinite(value):
        yield Violation(name, f"must be a finite number, not {value}")
    elif not within(value, rule):
        yield Violation(name, f"must be in {interval(rule)}, not {value:g}")


def within(value: float, rule: options_pb2.Parameter) -> bool:
    """Tell whether a finite number is in the option's range."""
    if rule.HasField("maximum") and value > rule.maximum:
        return False
    if not rule.HasField("minimum"):
        return True
    return value > rule.minimum if rule.minimum_exclusive else value >= rule.minimum


def interval(rule: options_pb2.Parameter) -> str:
    """Write the range as mathematicians do, e.g. `(0, 1000]`."""
    left = "(" if rule.minimum_exclusive or not rule.HasField("minimum") else "["
    low = f"{rule.minimum:g}" if rule.HasField("minimum") else "-inf"
    high = f"{rule.maximum:g}]" if rule.HasField("maximum") else "inf)"
    return f"{left}{low}, {high}"


def enum_names(field: FieldDescriptor) -> list[str]:
    """Return the names of an enum field's values, the unspecified one left out."""
    assert field.enum_type is not None
    return [value.name for value in field.enum_type.values if value.number != 0]


def allowed_names(field: FieldDescriptor) -> list[str]:
    """Return the names of the values that an enum field of a method may have, in the order of the enum."""
    rule = parameter_of(field)
    names = enum_names(field)
    return names if rule is None or not rule.allowed else [name for name in names if name in rule.allowed]


def check_finite(values: Iterable[float], path: str) -> Iterator[Violation]:
    """Check that each number of a repeated field is finite."""
    for index, value in enumerate(values):
        if not math.isfinite(value):
            yield Violation(f"{path}[{index}]", f"must be a finite number, not {value}")


def check_enum(message: Message, name: str, path: str) -> Iterator[Violation]:
    """Check that an enum field without the option holds a value that exists."""
    field = fields_of(message)[name]
    value = getattr(message, name)
    if field.enum_type is not None and value not in field.enum_type.values_by_number:
        yield Violation(f"{path}.{name}", f"{value} is none of {', '.join(enum_names(field))}")
