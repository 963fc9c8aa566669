"""The comments of the contract's parameters, for the catalog: `python -m services.gateway.comments` writes them.

Descriptors at run time carry no comments, so `comments.json` holds them, made from the protos; a test fails where it is
out of date. Only this module's command needs grpcio-tools, the gateway reads the file.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sparring.v1
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from sparring.v1 import attacks_pb2, defenses_pb2, jobs_pb2

FILE = Path(__file__).with_name("comments.json")

# Of these protos and of those that they import for their clients, every field that carries the `parameter` option is
# described. Attacks and defenses stand in several files.
_FILES = tuple(
    file.name
    for module in (attacks_pb2, defenses_pb2, jobs_pb2)
    for file in (module.DESCRIPTOR, *module.DESCRIPTOR.public_dependencies)
)

# Numbers of the fields in descriptor.proto that make up a location's path.
_MESSAGE_TYPE = 4
_FIELD = 2


def load() -> dict[str, str]:
    """Return the comment of each parameter by its full name, e.g. `sparring.v1.Bim.steps`."""
    comments: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))
    return comments


def described() -> dict[str, str]:
    """Read the comments afresh from the protos."""
    return {name: text for proto in _compiled() for name, text in _comments(proto)}


def _compiled() -> list[FileDescriptorProto]:
    """Compile the protos with their comments; needs grpcio-tools."""
    import google.rpc
    from grpc_tools import protoc

    root = Path(next(iter(sparring.v1.__path__))).parent.parent
    google_root = Path(next(iter(google.rpc.__path__))).parent.parent
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "set.bin"
        includes = [f"-I{path}" for path in (root, google_root, Path(protoc.__file__).parent / "_proto")]
        arguments = ["protoc", *includes, "--include_source_info", f"--descriptor_set_out={target}", *_FILES]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")
        return list(FileDescriptorSet.FromString(target.read_bytes()).file)


def _comments(proto: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Yield the full name and the comment of each field of a file that carries an option of its own."""
    for location in proto.source_code_info.location:
        path = list(location.path)
        if len(path) != 4 or (path[0], path[2]) != (_MESSAGE_TYPE, _FIELD):
            continue
        owner = proto.message_type[path[1]]
        field = owner.field[path[3]]
        if field.HasField("options"):
            yield f"{proto.package}.{owner.name}.{field.name}", " ".join(location.leading_comments.split())


def main() -> None:
    """Write `comments.json`."""
    FILE.write_text(json.dumps(described(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
