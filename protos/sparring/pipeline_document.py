"""A pipeline from nested mappings, as a YAML or a JSON file holds them.

    vars:                            # values to put in for ${epsilon}; others may be given from outside
      epsilon: 0.2
    steps:
      hardened:                      # a step: exactly one of train, attack, evaluate, poison, compare,
        train: pgd_adversarial       # which says by what method,
        dataset: digits              # and the arguments of the client's method of that name
        architecture: mlp
        epsilon: ${epsilon}
      broken:
        attack: bim
        model: ${hardened}           # the model that another step makes
        dataset: digits
        after: [other]               # steps, or jobs/ID, that have to succeed before
      table:
        compare: [broken]

An attack of a list is text ("bim:epsilon=0.2") or a mapping ({bim: {epsilon: 0.2}}); a curve is text, or such an attack
beside `epsilons`. Every error names its place as `steps.NAME.FIELD`.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sparring import requests, values
from sparring.errors import InvalidArgument, Violation
from sparring.pipeline import BUILDERS, COMPARE, REFERENCE, Pipeline

KINDS = (*BUILDERS, COMPARE)
# The argument that a step's kind stands for.
_METHODS = {"train": "defense", "attack": "attack", "evaluate": "attacks", "poison": "poison"}
# A pipeline sees to these by itself.
_HIDDEN = frozenset({"request_id", "validate_only"})
# Where `${name}` means a step.
_STEPS = frozenset({"model", "models", "initial_model", "after", COMPARE})
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")


def read(document: Any, variables: Mapping[str, str] | None = None, *, reuse: bool = True) -> Pipeline:
    """Build the pipeline of a document; `variables` go before its `vars`. InvalidArgument: everything wrong at once."""
    given = {} if variables is None else dict(variables)
    if not isinstance(document, Mapping) or not isinstance(document.get("steps"), Mapping) or not document["steps"]:
        raise requests.bad("steps", "a pipeline is a mapping with `steps`, a mapping of at least one name to a step")
    declared = document.get("vars") or {}
    if not isinstance(declared, Mapping):
        raise requests.bad("vars", "must be a mapping of names to values")
    reader = _Reader({**declared, **given}, frozenset(map(str, document["steps"])), Pipeline(reuse=reuse))
    for name in document.keys() - {"vars", "steps"}:
        reader.wrong(str(name), "there is no such part of a pipeline; there are vars and steps")
    for name in given.keys() - declared.keys():
        reader.wrong(f"vars.{name}", f"there is no such variable; {_nearest(name, declared)}")
    for name in declared.keys() & document["steps"].keys():
        reader.wrong(f"vars.{name}", "a variable and a step have this name; rename one of them")
    for name, step in document["steps"].items():
        reader.step(str(name), step)
    try:
        reader.pipeline.check()
    except InvalidArgument as error:
        # What does not read leaves steps out, of which others would then be told that they are not there.
        reader.violations += () if reader.violations else error.violations
    if reader.violations:
        raise InvalidArgument.of(reader.violations, reason="BAD_PIPELINE")
    return reader.pipeline


class _Reader:
    """Adds one step after the other, and collects what is wrong with each."""

    def __init__(self, variables: Mapping[str, Any], steps: frozenset[str], pipeline: Pipeline) -> None:
        self.violations: list[Violation] = []
        self.pipeline = pipeline
        self._variables, self._steps = variables, steps

    def wrong(self, path: str, description: str) -> None:
        self.violations.append(Violation(path, description))

    def step(self, name: str, step: Any) -> None:
        path, before = f"steps.{name}", len(self.violations)
        kinds = [kind for kind in KINDS if isinstance(step, Mapping) and kind in step]
        if len(kinds) != 1:
            self.wrong(path, f"a step has exactly one of {', '.join(KINDS)}, beside its fields")
            return
        (kind,) = kinds
        fields = {str(field).replace("-", "_"): value for field, value in step.items()}
        filled = {field: self._fill(value, f"{path}.{field}", field) for field, value in fields.items()}
        if len(self.violations) > before:
            return
        try:
            if kind == COMPARE:
                self._compare(name, filled)
            else:
                self.pipeline.add(name, kind, BUILDERS[kind](**self._arguments(kind, filled)))
        except InvalidArgument as error:
            self.violations += [_placed(path, kind, problem) for problem in error.violations]
        except (TypeError, ValueError) as error:
            self.wrong(path, f"can't be read: {error}")

    def _compare(self, name: str, fields: Mapping[str, Any]) -> None:
        for field in fields.keys() - {COMPARE}:
            self.wrong(f"steps.{name}.{field}", "a comparison has no such field; it has the list of steps alone")
        self.pipeline.compare(name, _listed(fields[COMPARE]))

    def _arguments(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a builder; a field that it has no argument for is a parameter, where it takes any."""
        known = inspect.signature(BUILDERS[kind]).parameters
        takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
        named = [one for one in known if one not in {"parameters", *_HIDDEN, *_METHODS.values()}]
        wrong = [field for field in fields if field in _HIDDEN or (not takes_any and field not in {*named, kind})]
        missing = [
            name for name in named if known[name].default is inspect.Parameter.empty and fields.get(name) is None
        ]
        problems = [Violation(field, f"there is no such field here; {_nearest(field, named)}") for field in wrong]
        problems += [Violation(name, "must be set") for name in missing]
        if problems:
            raise InvalidArgument.of(problems)
        arguments = {field: _converted(field, value) for field, value in fields.items() if field != kind}
        method = fields[kind]
        given = [_attack(one) for one in _listed(method)] if kind == "evaluate" else method
        if kind != "evaluate" and not isinstance(method, str):
            raise requests.bad(kind, f"{method!r} is not the name of a method")
        return {"reuse": self.pipeline.reuse, **arguments, _METHODS[kind]: given}

    def _fill(self, value: Any, path: str, field: str) -> Any:
        """Put variables in; `${step}` is left where a step may stand."""
        if isinstance(value, Mapping):
            return {str(name): self._fill(one, f"{path}.{name}", field) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._fill(one, f"{path}[{index}]", field) for index, one in enumerate(value)]
        if not isinstance(value, str):
            return value
        whole = _VARIABLE.fullmatch(value)
        if whole and whole[1] in self._variables:
            return self._variables[whole[1]]
        return _VARIABLE.sub(lambda found: self._put(found[0], found[1], path, field), value)

    def _put(self, text: str, name: str, path: str, field: str) -> str:
        if name in self._variables:
            return str(self._variables[name])
        if name not in self._steps:
            self.wrong(
                path, f"there is no variable or step {name!r}; {_nearest(name, {*self._variables, *self._steps})}"
            )
        elif field not in _STEPS:
            self.wrong(path, f"{name!r} is a step, and can stand for a model or in `after` alone")
        return text


def _converted(field: str, value: Any) -> Any:
    """A value as the builders take it."""
    if field in {"models", "after"}:
        return [_job(one) if field == "after" else one for one in _listed(value)]
    if field in {"mean", "std"}:
        return [values.number(one) for one in _listed(value)]
    if field == "fractions":
        return _listed(value)
    if field == "curves":
        return [_curve(one) for one in _listed(value)]
    if field == "evaluation_data" and isinstance(value, Mapping):
        return requests.selection(str(value.get("dataset", "")), **{k: v for k, v in value.items() if k != "dataset"})
    return values.truth(value) if field == "reuse" else value


def _job(text: Any) -> str:
    """A job to come after: a step as it is, with or without its braces."""
    name = str(text)
    return name if name.startswith("jobs/") or REFERENCE.fullmatch(name) else f"${{{name}}}"


def _listed(value: Any) -> Sequence[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _attack(value: Any) -> Any:
    """`bim:steps=20`, or `{bim: {steps: 20}}`."""
    if not isinstance(value, Mapping):
        return value
    if len(value) != 1:
        raise requests.bad("attacks", f"{dict(value)} is no attack; write {{name: {{field: value}}}}")
    ((name, fields),) = value.items()
    return requests.attack(str(name), **({} if fields is None else fields))


def _curve(value: Any) -> Any:
    """`bim:steps=20@0,0.1`, or `{attack: bim:steps=20, epsilons: [0, 0.1]}`."""
    if not isinstance(value, Mapping):
        return value
    if value.keys() != {"attack", "epsilons"}:
        raise requests.bad("curves", f"{dict(value)} is no curve; it has `attack` and `epsilons`")
    return _attack(value["attack"]), _listed(value["epsilons"])


def _placed(path: str, kind: str, problem: Violation) -> Violation:
    """A problem of a builder at its place in the document."""
    if problem.field.startswith("steps."):
        return problem
    of_method = {_METHODS.get(kind), "attack" if kind == "evaluate" else kind}
    field = kind if problem.field in of_method else problem.field
    return Violation(f"{path}.{field}", problem.description)


def _nearest(wrong: str, known: Iterable[str]) -> str:
    listed = sorted(map(str, known))
    near = difflib.get_close_matches(wrong, listed, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(listed) if listed else 'none'}"
