"""The contract, read from itself: which attacks and defenses there are, and what each of their parameters may be."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from sparring.v1 import options_pb2
from sparring.values import prefix

_OPEN = re.compile(r"^message (\w+) \{")
_FIELD = re.compile(r"^  (?:optional |repeated )?[\w.]+ (\w+) = \d+")
_COMMENT = re.compile(r"^  // ?(.*)")
_RANGE = re.compile(r"\bRange (.+?)\.(?=\s|$)")
_SENTENCE_END = re.compile(r"\.(?=\s|$)")


def methods(family: Descriptor) -> Mapping[str, FieldDescriptor]:
    """The methods of `Attack` or `Defense` by name, in the order of the contract."""
    return {field.name: field for field in family.oneofs_by_name["kind"].fields}


def method(message: Descriptor) -> options_pb2.Method:
    """What a method's message says of itself: title, summary, paper, formula."""
    return message.GetOptions().Extensions[options_pb2.method]


def parameter(field: FieldDescriptor) -> options_pb2.Parameter:
    """What a field says of itself: range, unit, default, paper."""
    return field.GetOptions().Extensions[options_pb2.parameter]


@dataclass(frozen=True)
class Words:
    """A field in words, for help texts and error messages."""

    comment: str
    range: str
    default: str
    paper: str


def words(field: FieldDescriptor) -> Words:
    """Describe a field from its options and its comment."""
    assert field.containing_type is not None
    options = parameter(field)
    comment = comments(field.containing_type.file.name).get(f"{field.containing_type.name}.{field.name}", "")
    stated = _RANGE.search(comment)
    return Words(
        comment=_SENTENCE_END.split(comment, maxsplit=1)[0],
        range=_bounds(options) if stated is None else stated[1],
        default=_default(field, options),
        paper=options.paper,
    )


def _bounds(options: options_pb2.Parameter) -> str:
    """`(0, 1]`, or nothing where the field has no bounds."""
    if not options.HasField("minimum") or not options.HasField("maximum"):
        return ""
    return f"{'(' if options.minimum_exclusive else '['}{options.minimum:g}, {options.maximum:.10g}]"


def _default(field: FieldDescriptor, options: options_pb2.Parameter) -> str:
    """The default's value or its rule; an enum's name is shortened as the command and the client take it."""
    if options.default_value == "":
        return options.default_rule
    if field.enum_type is None:
        return options.default_value
    return options.default_value.removeprefix(prefix(field.enum_type)).lower()


@functools.cache
def comments(proto: str) -> Mapping[str, str]:
    """The comment of each field of a proto file, keyed `Message.field`.

    Descriptors carry no comments at run time, so the file that ships beside the stubs is read.
    """
    source = resources.files("sparring").joinpath(proto.removeprefix("sparring/")).read_text(encoding="utf-8")
    found: dict[str, str] = {}
    message, pending = "", ""
    for line in source.splitlines():
        if opened := _OPEN.match(line):
            message = opened[1]
        if comment := _COMMENT.match(line):
            pending = f"{pending} {comment[1]}".strip()
            continue
        if field := _FIELD.match(line):
            found[f"{message}.{field[1]}"] = pending
        pending = ""
    return found
