"""Forms from the catalog: a field for each parameter of a method, and what a client is given for what was typed.

Nothing is checked here that the service checks: it knows every range, and names every bad field at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from sparring import contract
from sparring.errors import Violation
from sparring.v1.catalog_pb2 import MethodInfo, ParameterInfo
from sparring.values import Value

from services.console import words

# Parameters of a method stand in the form with this before their name, so that none hides a field of the form itself.
PREFIX = "p."
NUMBERS = frozenset({"double", "float"})


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a form. kind: "text", "number" or "choice"; value: what was typed; wrong: why it was refused."""

    name: str
    label: str
    kind: str
    value: str
    hint: str
    description: str
    choices: Sequence[tuple[str, str]]
    wrong: str


def fields(parameters: Iterable[ParameterInfo], typed: Mapping[str, str], wrong: Mapping[str, str]) -> list[Field]:
    """The fields of a method's parameters, with what was typed into them and what was wrong with that."""
    return [_field(parameter, typed, wrong) for parameter in parameters]


def described(message: Descriptor, names: Iterable[str]) -> list[ParameterInfo]:
    """Parameters of the contract that the catalog does not list, such as those of Optimization."""
    return [_described(message.fields_by_name[name]) for name in names]


def _described(field: FieldDescriptor) -> ParameterInfo:
    options = contract.parameter(field)
    enum = field.enum_type
    allowed = [] if enum is None else [one.name for one in enum.values if one.number]
    kind = {FieldDescriptor.TYPE_DOUBLE: "double", FieldDescriptor.TYPE_BOOL: "bool"}.get(field.type, "uint32")
    found = ParameterInfo(
        name=field.name,
        type="|".join(allowed) if allowed else kind,
        minimum_exclusive=options.minimum_exclusive,
        default_value=options.default_value or options.default_rule,
        unit=options.unit,
        paper=options.paper,
    )
    for bound in ("minimum", "maximum"):
        if options.HasField(bound):
            setattr(found, bound, getattr(options, bound))
    return found


def _field(parameter: ParameterInfo, typed: Mapping[str, str], wrong: Mapping[str, str]) -> Field:
    name = f"{PREFIX}{parameter.name}"
    offered = choices(parameter)
    kind = "choice" if offered else ("number" if parameter.type in NUMBERS | {"uint32", "uint64"} else "text")
    return Field(
        name=name,
        label=words.sentence(parameter.name),
        kind=kind,
        value=typed.get(name, ""),
        hint=_hint(parameter),
        description=parameter.description,
        choices=offered,
        wrong=wrong.get(parameter.name, ""),
    )


def choices(parameter: ParameterInfo) -> list[tuple[str, str]]:
    """What may be chosen, as values and in words; empty for numbers and texts."""
    if parameter.type == "bool":
        return [("true", "yes"), ("false", "no")]
    if not parameter.type.replace("|", "").replace("_", "").isalnum() or parameter.type.lower() == parameter.type:
        return []
    names = parameter.type.split("|")
    # NORM_LINF, NORM_L2: what all of them begin with says nothing.
    parts = [name.split("_") for name in names]
    alike = 0
    while len({tuple(one[: alike + 1]) for one in parts}) == 1 and alike + 1 < min(map(len, parts)):
        alike += 1
    head = "".join(f"{part}_" for part in parts[0][:alike])
    return [(name, words.sentence(name.removeprefix(head)).lower()) for name in names]


def _hint(parameter: ParameterInfo) -> str:
    """`0 to 0.5, pixel in [0, 1]; left empty: 0.1`."""
    low = f"{parameter.minimum:g}" if parameter.HasField("minimum") else ""
    high = f"{parameter.maximum:g}" if parameter.HasField("maximum") else ""
    above = "above " if parameter.minimum_exclusive else ""
    if low and high:
        bounds = f"{above}{low} to {high}"
    else:
        bounds = f"{above or 'from '}{low}" if low else (f"at most {high}" if high else "")
    otherwise = f"left empty: {default(parameter) or 'unset'}"
    return "; ".join(filter(None, (", ".join(filter(None, (bounds, parameter.unit))), otherwise)))


def default(parameter: ParameterInfo) -> str:
    """The default in words."""
    names = dict(choices(parameter))
    return names.get(parameter.default_value, parameter.default_value)


def given(typed: Mapping[str, str], method: MethodInfo | None, extra: Iterable[ParameterInfo] = ()) -> dict[str, Value]:
    """What was typed into the fields of a method, as the client takes it; empty fields are left to the service."""
    found: dict[str, Value] = {}
    for parameter in (*([] if method is None else method.parameters), *extra):
        text = typed.get(f"{PREFIX}{parameter.name}", "").strip()
        if not text:
            continue
        if parameter.type.startswith("map<"):
            pairs = (pair.partition("=") for pair in text.split(","))
            found.update({name.strip(): value.strip() for name, _, value in pairs if name.strip()})
        else:
            found[parameter.name] = text
    return found


def by_field(
    violations: Iterable[Violation], known: Iterable[str], aliases: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Sort what is wrong to the fields of the form, by the last known part of a path; the rest stays a list."""
    names, placed, rest = set(known), {}, []
    for bad in violations:
        parts = [aliases.get(part, part) for part in bad.field.replace("[", ".").replace("]", "").split(".")]
        name = next((part for part in reversed(parts) if part in names), None)
        if name is None:
            rest.append(f"{bad.field}: {bad.description}")
        else:
            placed[name] = bad.description
    return placed, rest
