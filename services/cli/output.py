"""Everything that the command prints: results and JSON on stdout, the rest on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console, RenderableType

T = TypeVar("T")


def console(stream: TextIO) -> Console:
    """A rich console on a stream; 80 columns where it is no terminal."""
    from rich.console import Console

    return Console(file=stream, highlight=False, width=None if stream.isatty() else 80)


def show(thing: RenderableType) -> None:
    """Print a result, e.g. a table, for people."""
    console(sys.stdout).print(thing)


def line(text: str) -> None:
    """Print a line of a result as it is: no markup, no wrapping."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a remark beside the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def as_dict(message: Message) -> dict[str, Any]:
    """A message as JSON's types: the contract's field names, zeros and empty lists included."""
    # Details of errors are Any messages; they can be written out only once their types are loaded.
    import google.rpc.error_details_pb2  # noqa: F401
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def data(thing: Any, *, indent: int | None = 2) -> None:
    """Print a message, a list of them, or a dict as JSON on stdout."""
    from google.protobuf.message import Message

    plain: Any = thing
    if isinstance(thing, Message):
        plain = as_dict(thing)
    elif not isinstance(thing, dict):
        plain = [as_dict(item) for item in thing]
    line(json.dumps(plain, indent=indent, ensure_ascii=False))


def result(found: T, table: Callable[[T], RenderableType], *, as_json: bool) -> None:
    """Print what the service answered: as JSON, or as the table that `table` makes of it."""
    if as_json:
        data(found)
    else:
        show(table(found))


def deleted(name: str, *, as_json: bool) -> None:
    """Say that something is gone."""
    if as_json:
        data({"deleted": name})
    else:
        line(f"{name} is deleted")
