"""Plain values in, typed fields out: `8/255`, `linf` and `"20"` become what the contract's fields hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from sparring.errors import InvalidArgument, Violation

Value = float | int | bool | str

UINT32_MAX = 2**32 - 1
UINT64_MAX = 2**64 - 1
_UNSIGNED = {FieldDescriptor.TYPE_UINT32: UINT32_MAX, FieldDescriptor.TYPE_UINT64: UINT64_MAX}
_SIGNED = {FieldDescriptor.TYPE_INT32: 2**31 - 1, FieldDescriptor.TYPE_INT64: 2**63 - 1}


def number(value: Value) -> float:
    """Read a finite number: a float, an int, or text such as "0.3", "1e-3" or "8/255"."""
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number")  # noqa: TRY004 - callers collect ValueErrors
    if isinstance(value, str):
        value = _parse(value)
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"{value} is not a finite number")
    return result


def _parse(text: str) -> float:
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is not a number; write it like 0.3 or 8/255") from None


def whole(value: Value, smallest: int, largest: int) -> int:
    """Read a whole number of [smallest, largest]: an int, a float without a fraction, or its digits as text."""
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError  # noqa: TRY301 - one sentence for every way of not being whole
        result = int(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a whole number") from None
    if not smallest <= result <= largest:
        raise ValueError(f"{result} is not in [{smallest}, {largest}]")
    return result


def truth(value: Value) -> bool:
    """Read a bool: itself, or "true" and "false" in any case."""
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise ValueError(f"{value!r} is not true or false")


def prefix(enum: EnumDescriptor) -> str:
    """What the names of an enum's values begin with: `NORM_` for NORM_LINF."""
    return enum.values_by_number[0].name.removesuffix("UNSPECIFIED")


def choices(enum: EnumDescriptor) -> dict[str, int]:
    """Short names of an enum's values, without the prefix and the unspecified one: `NORM_LINF` is `linf`."""
    return {v.name.removeprefix(prefix(enum)).lower(): v.number for v in enum.values if v.number != 0}


def choice(enum: EnumDescriptor, value: Value) -> int:
    """Read an enum's value: its number, its short name or its full one; dashes count as underscores."""
    known = choices(enum)
    if isinstance(value, str):
        name = value.replace("-", "_")
        if name.lower() in known:
            return known[name.lower()]
        if name in enum.values_by_name:
            return int(enum.values_by_name[name].number)
    elif not isinstance(value, bool) and value in known.values():
        return int(value)
    raise ValueError(f"{value!r} is not one of {', '.join(known)}")


def convert(field: FieldDescriptor, value: Any) -> Any:
    """Make of a plain value what a field holds, or raise a ValueError that says what it should have been."""
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return number(value)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return truth(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        return choice(field.enum_type, value)
    if field.type in _UNSIGNED:
        return whole(value, 0, _UNSIGNED[field.type])
    if field.type in _SIGNED:
        return whole(value, -_SIGNED[field.type] - 1, _SIGNED[field.type])
    return value


def fill(targets: Iterable[Message], values: Mapping[str, Value | None]) -> None:
    """Set each value on the first of the messages that has a field of its name; None leaves a field unset.

    Every unknown name and every unreadable value is in the one InvalidArgument that is raised.
    """
    targets = tuple(targets)
    homes: dict[str, tuple[Message, Any]] = {
        field.name: (target, field) for target in reversed(targets) for field in target.DESCRIPTOR.fields
    }
    violations = []
    for name, value in values.items():
        if value is None:
            continue
        if name not in homes:
            accepted = [field.name for target in targets for field in target.DESCRIPTOR.fields]
            known = ", ".join(accepted) if accepted else "none"
            violations.append(Violation(name, f"there is no such parameter here; known are: {known}"))
            continue
        target, field = homes[name]
        try:
            setattr(target, name, convert(field, value))
        except (TypeError, ValueError) as error:
            violations.append(Violation(name, str(error)))
    if violations:
        raise InvalidArgument.of(violations)
