"""Reads the file of endpoints: models that others serve, and that jobs may attack.

    [endpoints.digits]                    # what a client names; it never sees or sends an address
    address = "models.example.org:443"
    model = "digits"
    input_shape = [1, 28, 28]             # channels, height, width
    classes = 10
    output = "labels"                     # logits, probabilities or labels
    budget = 20_000                       # queries of one job, at most
    queries_per_s = 50.0                  # of one job; with the number of units that run at once, the owner's limit
    tenants = ["vision"]                  # who may; all of them where this is left out
    # optional, as in workers.blackbox.EndpointOptions:
    version = ""
    input_name = "input"
    output_name = "scores"
    datatype = "FP32"
    layout = "NCHW"
    pixel_max = 1
    batch_limit = 64
    tls = true
    root_certificates_file = "/run/secrets/ca.pem"
    bearer_file = "/run/secrets/token"

Operators write it, gateway and workers read it (SPARRING_ENDPOINTS_FILE): so no client can make a worker call an
address of its choice, and a budget and a rate are there for every endpoint. The gateway has no need of the two secret
files, and does not read them. Whatever is wrong is named at once, each by its path in the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from services.tenants.keys import NAME_RULE, is_name

_MOST: Final = 2**53


class EndpointsFileError(ValueError):
    """Raised with everything that is wrong with a file of endpoints."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One entry of the file; see its head."""

    address: str
    model: str
    input_shape: tuple[int, int, int]
    classes: int
    output: str
    budget: int
    queries_per_s: float
    version: str = ""
    input_name: str = "input"
    output_name: str | None = None
    datatype: str = "FP32"
    layout: str = "NCHW"
    pixel_max: int = 1
    batch_limit: int = 64
    tls: bool = False
    root_certificates_file: str | None = None
    bearer_file: str | None = None
    tenants: tuple[str, ...] | None = None

    def allows(self, tenant: str) -> bool:
        """Tell whether a tenant may attack it."""
        return self.tenants is None or tenant in self.tenants

    def options(self) -> dict[str, Any]:
        """Return the arguments of `workers.blackbox.EndpointOptions`, the secret files read. OSError, ValueError."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("tenants", "root_certificates_file", "bearer_file"):
            del given[name]
        roots, bearer = self.root_certificates_file, self.bearer_file
        given["root_certificates"] = None if roots is None else Path(roots).read_bytes()
        given["bearer"] = None if bearer is None else Path(bearer).read_text(encoding="utf-8").strip()
        return given


def read(path: Path) -> dict[str, ServedModel]:
    """Read a file. EndpointsFileError, OSError."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise EndpointsFileError(f"is not UTF-8: {error}") from None


def parse(text: str) -> dict[str, ServedModel]:
    """Read the text of a file. EndpointsFileError."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise EndpointsFileError(f"is not TOML: {error}") from None
    problems = [f"{name}: is none of endpoints" for name in tables if name != "endpoints"]
    entries = tables.get("endpoints", {})
    if not isinstance(entries, dict):
        raise EndpointsFileError("endpoints: must be tables, written [endpoints.NAME]")
    for name, table in entries.items():
        path = f"endpoints.{name}"
        if not is_name(name):
            problems.append(f"{path}: the name of an endpoint has {NAME_RULE}")
        if isinstance(table, dict):
            problems += _problems(table, path)
        else:
            problems.append(f"{path}: must be a table")
    if problems:
        raise EndpointsFileError("; ".join(problems))
    return {name: _entry(table) for name, table in entries.items()}


def _entry(table: Mapping[str, Any]) -> ServedModel:
    lists = {name: tuple(table[name]) for name in ("input_shape", "tenants") if name in table}
    return ServedModel(**{**table, **lists, "queries_per_s": float(table["queries_per_s"])})


def _problems(table: Mapping[str, Any], path: str) -> list[str]:
    """Name all that is wrong with one entry."""
    problems = [f"{path}.{name}: is none of {', '.join(_RULES)}" for name in table if name not in _RULES]
    problems += [f"{path}.{name}: must be set" for name in _NEEDED if name not in table]
    for name, (fits, rule) in _RULES.items():
        if name in table and not fits(table[name]):
            problems.append(f"{path}.{name}: must be {rule}")
    if table.get("tls") is not True:
        problems += [
            f"{path}.{name}: needs tls = true" for name in ("root_certificates_file", "bearer_file") if name in table
        ]
    if table.get("datatype") == "UINT8" and table.get("pixel_max") != 255:
        problems.append(f"{path}.pixel_max: must be 255 for UINT8")
    return problems


def _whole(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1000


def _address(value: object) -> bool:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return bool(host) and "/" not in host and port.isdecimal() and 0 < int(port) < 65_536


def _choice(*choices: object) -> tuple[Callable[[object], bool], str]:
    # 1 == True, but a flag is no number.
    return (lambda value: not isinstance(value, bool) and value in choices), f"one of {', '.join(map(str, choices))}"


_STRING: Final = (_text, "a text, not empty")
_POSITIVE: Final = (_whole, "a whole number of at least 1")
# What each field must be: all but `_NEEDED` may be left out.
_RULES: Final[dict[str, tuple[Callable[[object], bool], str]]] = {
    "address": (_address, "HOST:PORT"),
    "model": _STRING,
    "input_shape": (
        lambda value: isinstance(value, list) and len(value) == 3 and all(map(_whole, value)),
        "[channels, height, width]",
    ),
    "classes": (lambda value: _whole(value, 2), "a whole number of at least 2"),
    "output": _choice("logits", "probabilities", "labels"),
    "budget": _POSITIVE,
    "queries_per_s": (
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1e6,
        "a number above 0",
    ),
    "tenants": (lambda value: isinstance(value, list) and all(map(_text, value)), "a list of tenants"),
    "version": (lambda value: isinstance(value, str), "a text"),
    "input_name": _STRING,
    "output_name": _STRING,
    "datatype": _choice("FP32", "UINT8"),
    "layout": _choice("NCHW", "NHWC", "FLAT"),
    "pixel_max": _choice(1, 255),
    "batch_limit": _POSITIVE,
    "tls": (lambda value: isinstance(value, bool), "true or false"),
    "root_certificates_file": _STRING,
    "bearer_file": _STRING,
}
_NEEDED: Final = ("address", "model", "input_shape", "classes", "output", "budget", "queries_per_s")
