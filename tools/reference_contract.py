"""The contract's part of the reference: a page for each proto, with every service, RPC, message, field and enum.

Everything is read from the descriptors and from the comments beside them: nothing is described a second time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from inspect import cleandoc
from pathlib import Path

import google.rpc
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc
from sparring.v1 import options_pb2

from tools.reference_words import anchor, table

PROTOS = Path(__file__).resolve().parent.parent / "protos"
PACKAGE = ".sparring.v1."
# Numbers of the fields in descriptor.proto that make up a location's path.
MESSAGE, ENUM, SERVICE, NESTED, NESTED_ENUM, FIELD, VALUE, METHOD = 4, 5, 6, 3, 4, 2, 2, 2
REPEATED = FieldDescriptorProto.LABEL_REPEATED
Place = tuple[int, ...]


@dataclass(frozen=True)
class File:
    """One proto, its comments by place, and which page describes which type."""

    proto: FileDescriptorProto
    homes: dict[str, str]
    comments: dict[Place, str] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """The name of its page."""
        return page_of(self.proto.name)

    def link(self, full: str) -> str:
        """A type's name, as a link where a page describes it."""
        short = full.removeprefix(PACKAGE)
        home = self.homes.get(full)
        if home is None:
            return f"`{full.removeprefix('.')}`"
        return f"[{short}]({'' if home == self.page else home}#{anchor(short)})"


def page_of(proto: str) -> str:
    """sparring/v1/jobs.proto: contract-jobs.md."""
    return f"contract-{Path(proto).stem.replace('_', '-')}.md"


def contract_pages() -> Iterator[tuple[str, str]]:
    """Name and text of each page, services first."""
    compiled = [proto for proto in _compiled() if proto.package == "sparring.v1"]
    homes = {full: page_of(proto.name) for proto in compiled for full in _types(proto)}
    for proto in sorted(compiled, key=lambda proto: (not proto.service, proto.name)):
        comments = {tuple(place.path): place.leading_comments.strip() for place in proto.source_code_info.location}
        file = File(proto, homes, comments)
        yield file.page, "\n".join(_page(file)) + "\n"


def _compiled() -> list[FileDescriptorProto]:
    """Compile all protos with their comments."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    google_root = Path(next(iter(google.rpc.__path__))).parent.parent
    includes = [f"-I{path}" for path in (PROTOS, google_root, Path(protoc.__file__).parent / "_proto")]
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "set.bin"
        if protoc.main(["protoc", *includes, "--include_source_info", f"--descriptor_set_out={target}", *sources]):
            raise SystemExit("protoc failed")
        return list(FileDescriptorSet.FromString(target.read_bytes()).file)


def _types(proto: FileDescriptorProto) -> Iterator[str]:
    def inside(prefix: str, message: DescriptorProto) -> Iterator[str]:
        yield prefix + message.name
        for nested in message.nested_type:
            yield from inside(f"{prefix}{message.name}.", nested)
        yield from (f"{prefix}{message.name}.{enum.name}" for enum in message.enum_type)

    prefix = f".{proto.package}."
    for message in proto.message_type:
        yield from inside(prefix, message)
    yield from (prefix + enum.name for enum in proto.enum_type)


def _page(file: File) -> Iterator[str]:
    proto = file.proto
    head = " ".join(file.comments.get((12,), "").split())  # 12: the line `syntax`
    yield from (f"# {Path(proto.name).name}", "", head)
    for number, service in enumerate(proto.service):
        yield from ("", f"## {service.name}", "", cleandoc(file.comments.get((SERVICE, number), "")))
        for index, method in enumerate(service.method):
            yield from ("", f"### {service.name}.{method.name}", "")
            sends = ("stream " if method.client_streaming else "") + file.link(method.input_type)
            answers = ("stream " if method.server_streaming else "") + file.link(method.output_type)
            comment = _flat(file.comments.get((SERVICE, number, METHOD, index), ""))
            yield from (f"Takes {sends}, answers {answers}.", "", comment)
    for number, message in enumerate(proto.message_type):
        yield from _message(file, message, message.name, (MESSAGE, number))
    for number, enum in enumerate(proto.enum_type):
        yield from _enum(file, enum, enum.name, (ENUM, number))


def _flat(text: str) -> str:
    return " ".join(text.split())


def _message(file: File, message: DescriptorProto, name: str, place: Place) -> Iterator[str]:
    if message.options.map_entry:
        return
    yield from ("", f"## {name}", "", _flat(file.comments.get(place, "")))
    rows = (_field(file, message, number, place) for number in range(len(message.field)))
    yield from table(("field", "type", "meaning", "range", "default", "unit", "source"), rows)
    for number, nested in enumerate(message.nested_type):
        yield from _message(file, nested, f"{name}.{nested.name}", (*place, NESTED, number))
    for number, enum in enumerate(message.enum_type):
        yield from _enum(file, enum, f"{name}.{enum.name}", (*place, NESTED_ENUM, number))


def _enum(file: File, enum: EnumDescriptorProto, name: str, place: Place) -> Iterator[str]:
    yield from ("", f"## {name}", "", _flat(file.comments.get(place, "")))
    rows = ((f"`{v.name}`", str(v.number), file.comments.get((*place, VALUE, n), "")) for n, v in enumerate(enum.value))
    yield from table(("value", "number", "meaning"), rows)


def _field(file: File, message: DescriptorProto, number: int, place: Place) -> tuple[str, ...]:
    entry = message.field[number]
    rules = entry.options.Extensions[options_pb2.parameter]
    default = rules.default_value or rules.default_rule
    words = file.comments.get((*place, FIELD, number), "")
    if entry.HasField("oneof_index") and not entry.proto3_optional:
        words = f"(one of `{message.oneof_decl[entry.oneof_index].name}`) {words}"
    return f"`{entry.name}`", _type(file, message, entry), words, _range(rules), default, rules.unit, rules.paper


def _type(file: File, message: DescriptorProto, entry: FieldDescriptorProto) -> str:
    plain = FieldDescriptorProto.Type.Name(entry.type).removeprefix("TYPE_").lower()
    kind = file.link(entry.type_name) if entry.type_name else plain
    for nested in message.nested_type:
        if nested.options.map_entry and entry.type_name.endswith(f".{message.name}.{nested.name}"):
            key, value = nested.field
            return f"map of {_type(file, nested, key)} to {_type(file, nested, value)}"
    if entry.label == REPEATED:
        return f"repeated {kind}"
    return f"optional {kind}" if entry.proto3_optional else kind


def _range(rules: options_pb2.Parameter) -> str:
    if rules.allowed:
        return ", ".join(f"`{name}`" for name in rules.allowed)
    if not (rules.HasField("minimum") or rules.HasField("maximum")):
        return ""
    low = f"{rules.minimum:g}" if rules.HasField("minimum") else "-inf"
    high = f"{rules.maximum:g}" if rules.HasField("maximum") else "inf"
    return f"{'(' if rules.minimum_exclusive else '['}{low}, {high}]"
