"""Fills in what a client left unset, from the contract's options: a value, or a rule over the sibling fields.

Every `default_rule` of the contract is a formula that `RULES` knows by its text, or comes from elsewhere in the job
(`COMPUTED`). An attack whose formula is there already needs no line here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from sparring.radii import NO_LIMIT
from sparring.v1 import attacks_pb2

from services.gateway.ranges import fields_of, is_set, number, parameter_of

# A rule takes the message with every plain default filled in, and the names that the client left unset.
Rule = Callable[[Message, frozenset[str]], float]

GREY_LEVEL = 1 / 255
L2_STEPS = 20


def fill(message: Message, *, computed: Mapping[str, float] | None = None, given: frozenset[str] = frozenset()) -> None:
    """Set every unset field of `message` that has a default.

    `computed` are values by field name for rules that look beyond the message. Names in `given` count as set by the
    client for the rules of the others.
    """
    unset = {name: field for name, field in fields_of(message).items() if _has_default(field, message)}
    names = frozenset(unset) - given
    rules = {}
    for name, field in unset.items():
        rule = parameter_of(field)
        assert rule is not None
        if rule.default_value:
            setattr(message, name, parse_default(field, rule.default_value))
        else:
            rules[name] = field
    for name, field in rules.items():
        rule = parameter_of(field)
        assert rule is not None
        text = rule.default_rule
        value = (computed or {})[name] if text in COMPUTED else RULES[text](message, names)
        setattr(message, name, _at_most(value, field))


def parse_default(field: FieldDescriptor, text: str) -> float | bool:
    """Parse the text of a `default_value` for its field."""
    if field.enum_type is not None:
        return int(field.enum_type.values_by_name[text].number)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}[text]
    return float(text) if field.type == FieldDescriptor.TYPE_DOUBLE else int(text)


def kurakin_steps(method: Message, _unset: frozenset[str]) -> int:
    """Kurakin's number of steps: ceil(min(k + 4, 1.25 k)), at least 1, where k = 255 epsilon; 20 for NORM_L2.

    Source: arXiv:1607.02533, section 2.2.
    """
    if _is_l2(method):
        return L2_STEPS
    k = 255 * _set(method, "epsilon")
    # 1.25 * 255 * (8 / 255) is a little above 10 in binary; nine decimals are enough to tell it from 11.
    return max(1, math.ceil(round(min(k + 4, 1.25 * k), 9)))


def bim_step_size(method: Message, unset: frozenset[str]) -> float:
    """One grey level, 1/255, where steps is unset and the norm is NORM_LINF, else 2.5 epsilon / steps."""
    if "steps" in unset and not _is_l2(method):
        return GREY_LEVEL
    return scaled_step_size(method, unset)


def scaled_step_size(method: Message, _unset: frozenset[str]) -> float:
    """2.5 epsilon / steps (arXiv:1706.06083, section 5)."""
    return _share_of_radius(method, 2.5, _set(method, "steps"))


def equal_steps(method: Message, _unset: frozenset[str]) -> float:
    """Epsilon / steps (arXiv:1710.06081, algorithm 1): so many steps reach the edge of the ball and no further."""
    return _share_of_radius(method, 1.0, _set(method, "steps"))


def longer_step(method: Message, _unset: frozenset[str]) -> float:
    """1.25 epsilon (arXiv:2001.03994, section 4): from a random start, one step may need more than epsilon."""
    return _share_of_radius(method, 1.25, 1)


def whole_step(method: Message, _unset: frozenset[str]) -> float:
    """Epsilon (arXiv:1904.12843, algorithm 1)."""
    return _share_of_radius(method, 1.0, 1)


def same_temperature(method: Message, _unset: frozenset[str]) -> float:
    """The student's temperature (arXiv:1511.04508, section IV)."""
    return _set(method, "temperature")


def estimated_steps(method: Message, _unset: frozenset[str]) -> float:
    """2.5 epsilon / steps, where a step is one gradient that is estimated from `samples` pairs of queries."""
    return _share_of_radius(method, 2.5, max(1, _set(method, "queries") // (2 * _set(method, "samples"))))


def no_limit(method: Message, _unset: frozenset[str]) -> float:
    """Return the radius that stands for no limit: 1, 1000 or 1,000,000 by the norm."""
    return NO_LIMIT[int(_set(method, "norm"))]


RULES: Mapping[str, Rule] = {
    "ceil(min(255 * epsilon + 4, 1.25 * 255 * epsilon)), at least 1; 20 for NORM_L2": kurakin_steps,
    "ceil(min(255 * epsilon + 4, 1.25 * 255 * epsilon)), at least 1": kurakin_steps,
    "1/255 where steps is unset and the norm is NORM_LINF, else 2.5 * epsilon / steps": bim_step_size,
    "1/255 where steps is unset, else 2.5 * epsilon / steps": bim_step_size,
    "2.5 * epsilon / steps": scaled_step_size,
    "epsilon / steps": equal_steps,
    "1.25 * epsilon": longer_step,
    "epsilon": whole_step,
    "temperature": same_temperature,
    "2.5 * epsilon / (queries / (2 * samples))": estimated_steps,
    "no limit: 1 for NORM_LINF, 1000 for NORM_L2 and NORM_L1, 1000000 for NORM_L0": no_limit,
}

# Rules over other parts of the job: `plan` has the first two, the training's epochs are the third, then come one of
# `fitting`, two of `watching` and three of `suites`.
COMPUTED = frozenset(
    {
        "by architecture and input size, at most 256",
        "one batch",
        "optimization.epochs",
        "5 for rbf_svm, else 0.1",
        "the defense's epsilon, else 0.3",
        "0.2 for fgsm_rs, else 0",
        "by the number of shards",
        "by the level of the suite",
        "that of the suite",
    }
)


def _has_default(field: FieldDescriptor, message: Message) -> bool:
    rule = parameter_of(field)
    return rule is not None and bool(rule.default_value or rule.default_rule) and not is_set(message, field)


def _at_most(value: float, field: FieldDescriptor) -> float:
    """Keep what a rule gives within the field's range, so that a resolved job is a valid request again."""
    rule = parameter_of(field)
    return min(value, rule.maximum) if rule is not None and value > rule.maximum else value


def _share_of_radius(method: Message, factor: float, steps: float) -> float:
    """Return factor * epsilon / steps.

    Where epsilon is 0 the ball is one point and any step ends in it; one grey level keeps the number in its range.
    """
    epsilon = _set(method, "epsilon")
    # So does the smallest step, where a share of next to nothing would be rounded to nothing.
    return max(factor * epsilon / steps, sys.float_info.min) if epsilon > 0 else GREY_LEVEL


def _set(method: Message, name: str) -> float:
    value = number(method, name)
    assert value is not None, "plain defaults come before the rules, and the rules in the order of the fields"
    return value


def _is_l2(method: Message) -> bool:
    return number(method, "norm") == attacks_pb2.NORM_L2
