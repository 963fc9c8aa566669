"""From a filled form to the request of a job, by the functions of the public client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparring import submit
from sparring.v1.catalog_pb2 import MethodInfo, ParameterInfo
from sparring.v1.defenses_pb2 import Defense
from sparring.v1.fitting_pb2 import FitOptions
from sparring.v1.jobs_pb2 import CreateJobRequest
from sparring.v1.suites_pb2 import Suite
from sparring.v1.training_pb2 import Optimization
from sparring.values import Value

from services.console import forms

NUMBER_FIELDS = ("offset", "count", "seed")
OPTIMIZATION = tuple(field.name for field in Optimization.DESCRIPTOR.fields)
# Parts of a violation's path that are not named as the form's fields are.
ALIASES = {
    "data": "dataset", "goal": "target", "targeted": "target", "label": "target", "defense": "method", "kind": "method",
    "model": "model", "models": "models", "level": "level",
}  # fmt: skip


def optimization() -> list[ParameterInfo]:
    """The parameters of how weights are moved."""
    return forms.described(Optimization.DESCRIPTOR, OPTIMIZATION)


def _given(typed: Mapping[str, str], parameters: Mapping[str, Value]) -> dict[str, Any]:
    """What every kind of job takes, as texts that the client reads, and a method's parameters; empty ones left out."""
    names = ("split", "device", "display_name", "request_id", *NUMBER_FIELDS)
    return {**{name: typed[name].strip() for name in names if typed.get(name, "").strip()}, **parameters}


def attack(typed: Mapping[str, str], method: MethodInfo | None) -> CreateJobRequest:
    """The request of an attack. InvalidArgument: something typed that can't be read."""
    return submit.attack(
        typed.get("model", ""),
        typed.get("dataset", ""),
        typed.get("method", ""),
        # Nothing typed: any wrong class.
        target=typed.get("target", "").strip() or None,
        **_given(typed, forms.given(typed, method)),
    )


def training(typed: Mapping[str, str], method: MethodInfo | None) -> CreateJobRequest:
    """The request of a training. InvalidArgument: something typed that can't be read."""
    return submit.train(
        typed.get("dataset", ""),
        typed.get("method", ""),
        architecture=typed.get("architecture", ""),
        initial_model=typed.get("initial_model", ""),
        model_id=typed.get("model_id", "").strip(),
        **_given(typed, forms.given(typed, method, optimization())),
    )


def evaluation(typed: Mapping[str, str], models: Sequence[str]) -> CreateJobRequest:
    """The request of an evaluation by a suite. InvalidArgument: something typed that can't be read."""
    named = {name: typed.get(name, "").strip() for name in ("norm", "epsilon")}
    suite = ",".join(f"{name}={value}" for name, value in named.items() if value)
    return submit.evaluate(
        models,
        typed.get("dataset", ""),
        suite=f"{typed.get('level', '')}:{suite}",
        adapted=typed.get("adapted", ""),
        **_given(typed, {}),
    )


def known_names(method: MethodInfo | None) -> list[str]:
    """Fields of the forms that a violation may be about."""
    own = [] if method is None else [parameter.name for parameter in method.parameters]
    fields = [field.name for message in (Suite, FitOptions, Defense) for field in message.DESCRIPTOR.fields]
    form = ("model", "models", "dataset", "method", "target", "split", "architecture", "initial_model", "model_id")
    return [*own, *OPTIMIZATION, *fields, *form, *NUMBER_FIELDS, "device", "display_name"]
