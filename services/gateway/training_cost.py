"""What one training step of a defense costs: the contract's own formula, put into numbers.

The unit is one pass of one sample through the network: forward, backward to the input and gradient by the weights
count 1 each, so standard training costs 3. `estimate_training` charges for whole trainings, in forward passes and more
roughly; tests/workers/defenses/test_costs.py holds the formulas against what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import Message
from sparring.v1 import defenses_pb2, options_pb2

from services.gateway import defaults
from services.gateway.ranges import fields_of, parameter_of

STANDARD: Final = 3
# For the one rule that looks beyond the message; no formula depends on a number of epochs.
_EPOCHS: Final = 10
_FUNCTIONS: Final[Mapping[str, Any]] = {"min": min, "max": max, "ceil": math.ceil, "__builtins__": {}}


def units(method: Message) -> float:
    """Return the units for each sample of a batch; the message has every parameter set.

    A formula is what stands before the semicolon: Python's arithmetic and conditions, `min`, `max` and `ceil` over the
    names of the fields. The value of an enum field has the name that the contract gives it.
    """
    formula = method.DESCRIPTOR.GetOptions().Extensions[options_pb2.method].cost.partition(";")[0]
    names: dict[str, Any] = {}
    for name, field in fields_of(method).items():
        names[name] = getattr(method, name)
        if field.enum_type is not None:
            names |= {value.name: value.number for value in field.enum_type.values}
    return float(eval(formula, dict(_FUNCTIONS), names))  # noqa: S307 - the text is that of the contract, never a client's


def at_defaults(name: str) -> Message:
    """Return the message of a defense, as its field is named, with the default of every parameter."""
    method: Message = getattr(defenses_pb2.Defense(), name)
    rules = {field.name: parameter_of(field) for field in fields_of(method).values()}
    epochs = {name for name, rule in rules.items() if rule is not None and rule.default_rule in defaults.COMPUTED}
    defaults.fill(method, computed=dict.fromkeys(epochs, _EPOCHS))
    return method
