"""What the parameters of an attack must be to each other, beyond the range that each has for itself.

A rule is given the attack with every default filled in, and yields the field that is wrong with what it must be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf.message import Message

from services.errors import Violation
from services.gateway.defaults import fill
from services.gateway.names import shown

# The message of the attack; which one it is, its rule knows.
Method = Any
Rule = Callable[[Method], Iterator[tuple[str, str]]]

MAX_PLUGIN_PARAMETERS = 64
_PLUGIN_NAME = re.compile(r"[a-z0-9_]{1,40}")
_PLUGIN_NAMES = "must be 1 to 40 of a-z, 0-9 and _"


def check_rules(kind: str, method: Message, path: str) -> Iterator[Violation]:
    """Check an attack whose parameters are all in their ranges."""
    rule = RULES.get(kind)
    if rule is None:
        return
    whole = type(method)()
    whole.CopyFrom(method)
    fill(whole)
    for field, what in rule(whole):
        yield Violation(f"{path}.{field}", what)


def _odd_kernel(method: Method) -> Iterator[tuple[str, str]]:
    if method.kernel_size and method.kernel_size % 2 == 0:
        yield "kernel_size", f"must be odd, so that it has a middle, or 0 for none, not {method.kernel_size}"


def _some_change(method: Method) -> Iterator[tuple[str, str]]:
    if method.theta == 0:
        yield "theta", "must not be 0: no pixel would change"


def _one_estimate(method: Method) -> Iterator[tuple[str, str]]:
    least = 2 * method.samples
    if method.queries < least:
        yield "queries", f"must be at least {least}, what one estimate of 2 * samples costs, not {method.queries}"


def _growing_estimates(method: Method) -> Iterator[tuple[str, str]]:
    if method.max_evaluations < method.initial_evaluations:
        yield (
            "max_evaluations",
            f"must be at least initial_evaluations, {method.initial_evaluations}, not {method.max_evaluations}",
        )


def _plugin(method: Method) -> Iterator[tuple[str, str]]:
    if method.name and not _PLUGIN_NAME.fullmatch(method.name):
        yield "name", f"{_PLUGIN_NAMES}, not {shown(method.name)}"
    if len(method.parameters) > MAX_PLUGIN_PARAMETERS:
        yield "parameters", f"must hold at most {MAX_PLUGIN_PARAMETERS}, not {len(method.parameters)}"
        return
    for name, value in sorted(method.parameters.items()):
        if not _PLUGIN_NAME.fullmatch(name) or name in _PLUGIN_TAKEN:
            yield "parameters", f"a name {_PLUGIN_NAMES}, and none of {', '.join(_PLUGIN_TAKEN)}, not {shown(name)}"
        elif not math.isfinite(value):
            yield "parameters", f"{name} must be a finite number, not {value}"


# What the plug-in is told beside its own parameters.
_PLUGIN_TAKEN = ("epsilon", "name", "norm", "parameters", "target")

RULES: Mapping[str, Rule] = {
    "mi_fgsm": _odd_kernel,
    "jsma": _some_change,
    "nes": _one_estimate,
    "hop_skip_jump": _growing_estimates,
    "plugin": _plugin,
}
