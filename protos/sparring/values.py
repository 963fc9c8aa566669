"""Plain values in, typed fields out: `8/255`, `linf` and `"20"` become what the contract's fields hold."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from sparring import contract
from sparring.errors import InvalidArgument, Violation

Value = float | int | bool | str | Mapping[str, float]

UINT32_MAX = 2**32 - 1
UINT64_MAX = 2**64 - 1
_UNSIGNED = {FieldDescriptor.TYPE_UINT32: UINT32_MAX, FieldDescriptor.TYPE_UINT64: UINT64_MAX}
_SIGNED = {FieldDescriptor.TYPE_INT32: 2**31 - 1, FieldDescriptor.TYPE_INT64: 2**63 - 1}


def number(value: Value) -> float:
    """Read a finite number: a float, an int, or text such as "0.3", "1e-3" or "8/255"."""
    if isinstance(value, bool | Mapping):
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
        if isinstance(value, bool | Mapping) or (isinstance(value, float) and not value.is_integer()):
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


def choices(enum: EnumDescriptor, allowed: Collection[str] = ()) -> dict[str, int]:
    """Short names of an enum's values, without the prefix and the unspecified one: `NORM_LINF` is `linf`.

    Where `allowed` is not empty, the others are left out.
    """
    known = [value for value in enum.values if value.number != 0 and (not allowed or value.name in allowed)]
    return {value.name.removeprefix(prefix(enum)).lower(): value.number for value in known}


def choice(enum: EnumDescriptor, value: Value, allowed: Collection[str] = ()) -> int:
    """Read an enum's value: its number, its short name or its full one; dashes count as underscores.

    Where `allowed` is not empty, the others are refused.
    """
    known = choices(enum, allowed)
    if isinstance(value, str):
        name = value.replace("-", "_")
        if name.lower() in known:
            return known[name.lower()]
        if name in enum.values_by_name and (not allowed or name in allowed):
            return int(enum.values_by_name[name].number)
    elif not isinstance(value, bool | Mapping) and value in known.values():
        return int(value)
    raise ValueError(f"{value!r} is not one of {', '.join(known)}")


def is_map(field: FieldDescriptor) -> bool:
    """Tell whether a field holds names and numbers; the only such field is `parameters` of a plug-in."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def convert(field: FieldDescriptor, value: Any) -> Any:
    """Make of a plain value what a field holds, or raise a ValueError that says what it should have been."""
    if is_map(field):
        if not isinstance(value, Mapping):
            raise ValueError(f"{value!r} is not a mapping of names to numbers")
        return {str(name): number(one) for name, one in value.items()}
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return number(value)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return truth(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        return choice(field.enum_type, value, contract.parameter(field).allowed)
    if field.type in _UNSIGNED:
        return whole(value, 0, _UNSIGNED[field.type])
    if field.type in _SIGNED:
        return whole(value, -_SIGNED[field.type] - 1, _SIGNED[field.type])
    return value


def fill(targets: Iterable[Message], values: Mapping[str, Value | None]) -> None:
    """Set each value on the first of the messages that has a field of its name; None leaves a field unset.

    What no message has goes into the first one's map, if it has one. Every unknown name and every unreadable value is
    in the one InvalidArgument that is raised.
    """
    targets = tuple(targets)
    homes: dict[str, tuple[Message, Any]] = {
        field.name: (target, field) for target in reversed(targets) for field in target.DESCRIPTOR.fields
    }
    spare = next((getattr(target, field.name) for target, field in homes.values() if is_map(field)), None)
    violations = []
    for name, value in values.items():
        if value is None:
            continue
        try:
            if name in homes:
                _set(*homes[name], value)
            elif spare is not None:
                spare[name] = number(value)
            else:
                violations.append(Violation(name, f"there is no such parameter here; known are: {_known(targets)}"))
        except (TypeError, ValueError) as error:
            violations.append(Violation(name, str(error)))
    if violations:
        raise InvalidArgument.of(violations)


def _set(target: Message, field: FieldDescriptor, value: Value) -> None:
    converted = convert(field, value)
    if is_map(field):
        getattr(target, field.name).update(converted)
    else:
        setattr(target, field.name, converted)


def _known(targets: Iterable[Message]) -> str:
    accepted = [field.name for target in targets for field in target.DESCRIPTOR.fields]
    return ", ".join(accepted) if accepted else "none"
