"""Flags that are read from the contract: one for each field, with its comment, range, default and paper."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from sparring import contract, values
from sparring.v1.jobs_pb2 import Execution

from services.gateway import comments

F = TypeVar("F", bound=Callable[..., Any])


_NAMES = {FieldDescriptor.TYPE_DOUBLE: "NUMBER", FieldDescriptor.TYPE_STRING: "NAME"}


class FieldType(click.ParamType[Any]):
    """A value as a field takes it: 8/255 for a double, a short name for an enum."""

    def __init__(self, field: FieldDescriptor) -> None:
        self.field = field
        self.name = _NAMES.get(field.type, "INTEGER")
        if field.enum_type is not None:
            known = values.choices(field.enum_type, contract.parameter(field).allowed)
            self.name = f"[{'|'.join(dashed(name) for name in known)}]"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """What stands for the value in the help."""
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a value, or fail with what it should have been."""
        try:
            return values.convert(self.field, value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def dashed(name: str) -> str:
    """A field's name as a flag is written."""
    return name.replace("_", "-")


def option(field: FieldDescriptor) -> Callable[[F], F]:
    """The flag that sets a field; left out, the field stays unset and the service chooses."""
    flag = dashed(field.name)
    if values.is_map(field):
        one = flag.removesuffix("s")
        return click.option(
            f"--{one}", field.name, type=PairType(), multiple=True, callback=_together, help=describe(field)
        )
    if field.type == field.TYPE_BOOL:
        return click.option(f"--{flag}/--no-{flag}", field.name, default=None, help=describe(field))
    return click.option(f"--{flag}", field.name, type=FieldType(field), help=describe(field))


def _together(_ctx: click.Context, _param: click.Parameter, pairs: tuple[tuple[str, float], ...]) -> dict[str, float]:
    return dict(pairs)


def options(message: Descriptor) -> Callable[[F], F]:
    """The flags of all fields of a message."""

    def decorate(function: F) -> F:
        for field in reversed(message.fields):
            function = option(field)(function)
        return function

    return decorate


def device_options(message: Descriptor) -> Callable[[F], F]:
    """The flags that say which workers may take a job; what they mean stands at the fields of Execution."""

    def decorate(function: F) -> F:
        for name in ("min_device_memory_gib", "device_class"):
            function = option(Execution.DESCRIPTOR.fields_by_name[name])(function)
        return option(message.fields_by_name["device"])(function)

    return decorate


class PairType(click.ParamType[tuple[str, float]]):
    """One entry of a map: `strength=0.5`."""

    name = "NAME=NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Read a name and a number, or fail with what it should have been."""
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not of the form name=value", param, ctx)
        try:
            return name.replace("-", "_"), values.number(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class MethodGroup(click.Group):
    """One command for each method of `Attack` or `Defense`; what they take is read from their messages."""

    def __init__(
        self, family: Descriptor, build: Callable[[str, Descriptor], click.Command], **attributes: Any
    ) -> None:
        super().__init__(**attributes)
        self._methods = contract.methods(family)
        self._build = build

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names, in the order of the contract."""
        return list(self._methods)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none, say which there are."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"there is no {self.name} {args[0]!r}; known are: {', '.join(self._methods)}", ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Build one command; its name may be written with dashes or underscores."""
        name = cmd_name.replace("-", "_")
        if name not in self._methods:
            return None
        message = self._methods[name].message_type
        assert message is not None
        said = contract.method(message)
        command = self._build(name, message)
        source = f"{said.citation} (arXiv:{said.paper})" if said.paper else ""
        command.help = "\n\n".join(filter(None, (f"{said.title}. {said.summary}", source, said.formula, said.differs)))
        command.short_help = said.title
        return command


def describe(field: FieldDescriptor) -> str:
    """Write a field in two sentences: "Number of steps. Range [1, 10000]; default 40 (arXiv:1706.06083 section 5)"."""
    said = contract.parameter(field)
    text = _plain(_comments()[field.full_name])
    stated = re.search(r"\bRange (.+?)\.(?=\s|$)", text)
    facts = [
        "" if stated is None else f"range {stated[1]}",
        "" if said.unit == field.name else said.unit,
        f"default {_default(field)}" if _default(field) else "",
    ]
    source = f" (arXiv:{said.paper})" if said.paper else ""
    described = "; ".join(filter(None, facts))
    sentence = re.split(r"\.(?=\s|$)", text, maxsplit=1)[0]
    return f"{sentence}. {described[0].upper()}{described[1:]}{source}." if described else f"{sentence}."


def _plain(text: str) -> str:
    """A text of the contract with the norms' names as flags take them."""
    return re.sub(r"\bNORM_(\w+)", lambda norm: norm[1].lower(), text)


@functools.cache
def _comments() -> Mapping[str, str]:
    return comments.load()


def _default(field: FieldDescriptor) -> str:
    """The default's value or rule; an enum's name is written as the flag takes it."""
    said = contract.parameter(field)
    if said.default_value == "":
        return _plain(said.default_rule)
    if field.enum_type is None:
        return said.default_value
    return dashed(said.default_value.removeprefix(values.prefix(field.enum_type)).lower())
