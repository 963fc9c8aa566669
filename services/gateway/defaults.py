"""Fills in what a client left unset, from the contract's options: a value, or a rule over the sibling fields.

Every `default_rule` of the contract is one function of `RULES`, or comes from elsewhere in the job (`COMPUTED`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
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
        value = (computed or {})[name] if field.full_name in COMPUTED else RULES[field.full_name](message, names)
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
    k = 255 * _epsilon(method)
    # 1.25 * 255 * (8 / 255) is a little above 10 in binary; nine decimals are enough to tell it from 11.
    return max(1, math.ceil(round(min(k + 4, 1.25 * k), 9)))


def bim_step_size(method: Message, unset: frozenset[str]) -> float:
    """One grey level, 1/255, where steps is unset and the norm is NORM_LINF, else 2.5 epsilon / steps."""
    if "steps" in unset and not _is_l2(method):
        return GREY_LEVEL
    return scaled_step_size(method, unset)


def scaled_step_size(method: Message, _unset: frozenset[str]) -> float:
    """2.5 epsilon / steps (arXiv:1706.06083, section 5).

    Where epsilon is 0 the ball is one point and any step ends in it; one grey level keeps the number in its range.
    """
    steps = number(method, "steps")
    assert steps is not None, "rules run in the order of the fields, and steps comes first"
    return 2.5 * _epsilon(method) / steps if _epsilon(method) > 0 else GREY_LEVEL


RULES: Mapping[str, Rule] = {
    "sparring.v1.Bim.steps": kurakin_steps,
    "sparring.v1.Bim.step_size": bim_step_size,
    "sparring.v1.IterativeLeastLikely.steps": kurakin_steps,
    "sparring.v1.IterativeLeastLikely.step_size": bim_step_size,
    "sparring.v1.Pgd.step_size": scaled_step_size,
    "sparring.v1.PgdAdversarialTraining.step_size": scaled_step_size,
}

# Rules over other parts of the job: `plan` has the first two, the training's epochs are the third.
COMPUTED = frozenset(
    {
        "sparring.v1.Execution.batch_size",
        "sparring.v1.Execution.shard_size",
        "sparring.v1.DefensiveDistillation.teacher_epochs",
    }
)


def _has_default(field: FieldDescriptor, message: Message) -> bool:
    rule = parameter_of(field)
    return rule is not None and bool(rule.default_value or rule.default_rule) and not is_set(message, field)


def _at_most(value: float, field: FieldDescriptor) -> float:
    """Keep what a rule gives within the field's range, so that a resolved job is a valid request again."""
    rule = parameter_of(field)
    return min(value, rule.maximum) if rule is not None and value > rule.maximum else value


def _epsilon(method: Message) -> float:
    epsilon = number(method, "epsilon")
    assert epsilon is not None, "plain defaults are filled in before the rules run"
    return epsilon


def _is_l2(method: Message) -> bool:
    return number(method, "norm") == attacks_pb2.NORM_L2
