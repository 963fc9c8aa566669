"""The contract, read from itself: which attacks and defenses there are, and what their fields may be."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from sparring.v1 import options_pb2


def methods(family: Descriptor) -> Mapping[str, FieldDescriptor]:
    """The methods of `Attack` or `Defense` by name, in the order of the contract."""
    return {field.name: field for field in family.oneofs_by_name["kind"].fields}


def method(message: Descriptor) -> options_pb2.Method:
    """What a method's message says of itself: title, summary, paper, formula."""
    return message.GetOptions().Extensions[options_pb2.method]


def parameter(field: FieldDescriptor) -> options_pb2.Parameter:
    """What a field says of itself: range, unit, default, paper."""
    return field.GetOptions().Extensions[options_pb2.parameter]
