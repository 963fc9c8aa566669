"""The jobs as a person asks for them: `attack`, `train`, `evaluate` and `poison`, each giving the request for it.

`Client` and `AsyncClient` have them as methods of the same arguments, which send the request and give the job.
All of them take `deadline_s`, the seconds from acceptance after which the job ends as FAILED if it has not ended
before, `queue_limit_s`, the seconds that it may wait for its first worker, `after`, jobs that have to succeed before
it, and `reuse`: where the same has been computed already, that job is the answer. A model may be a training under way.
`device` ("any", "cpu" or "gpu"), `device_class` and `min_device_memory_gib` say which workers may take it; it waits for
one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sparring import names, requests
from sparring.names import JobLike, ModelLike
from sparring.requests import AttackLike, CurveLike, DataLike, DefenseLike, PoisonLike, SuiteLike, Target
from sparring.v1.jobs_pb2 import AttackSpec, CreateJobRequest, EvaluationSpec
from sparring.values import Value, fill, number

F = TypeVar("F", bound=Callable[..., Any])


def attack(
    model: ModelLike,
    dataset: DataLike,
    attack: AttackLike,
    *,
    target: Target | None = None,
    split: str = "",
    offset: int = 0,
    count: int = 0,
    seed: int = 0,
    batch_size: int | None = None,
    shard_size: int | None = None,
    device: str | None = None,
    device_class: str | None = None,
    min_device_memory_gib: int | None = None,
    request_id: str = "",
    validate_only: bool = False,
    display_name: str = "",
    deadline_s: float | None = None,
    queue_limit_s: float | None = None,
    after: Sequence[JobLike] = (),
    reuse: bool = False,
    **parameters: Value | None,
) -> CreateJobRequest:
    """Attack one model: `attack("my-net", "mnist10k", "bim", epsilon="8/255", steps=20)`.

    `attack` is a name, a name with parameters ("bim:epsilon=0.3"), or a message; `parameters` are the fields of its
    message; `target` is a class's number, "random" or "least-likely". What is left out is the server's default.
    """
    spec = AttackSpec(
        model=names.attacked(model),
        data=requests.selection(dataset, split, offset, count),
        attack=requests.attack(attack, target, **parameters),
    )
    fill([spec], {"seed": seed})
    where = {"device": device, "device_class": device_class, "min_device_memory_gib": min_device_memory_gib}
    requests.execution(spec, batch_size=batch_size, shard_size=shard_size, **where)
    return requests.create(
        spec,
        request_id=request_id,
        validate_only=validate_only,
        display_name=display_name,
        deadline_s=deadline_s,
        queue_limit_s=queue_limit_s,
        after=after,
        reuse=reuse,
    )


def train(
    dataset: DataLike,
    defense: DefenseLike = "standard",
    *,
    architecture: str = "",
    initial_model: ModelLike = "",
    model_id: str = "",
    split: str = "",
    offset: int = 0,
    count: int = 0,
    evaluation_data: DataLike | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    seed: int = 0,
    device: str | None = None,
    device_class: str | None = None,
    min_device_memory_gib: int | None = None,
    request_id: str = "",
    validate_only: bool = False,
    display_name: str = "",
    deadline_s: float | None = None,
    queue_limit_s: float | None = None,
    after: Sequence[JobLike] = (),
    reuse: bool = False,
    **parameters: Value | None,
) -> CreateJobRequest:
    """Train a model: `train("mnist10k", "pgd_adversarial", architecture="wong_cnn", epsilon=0.2, epochs=20)`.

    `parameters` are the fields of the defense's message, of Optimization and of Validation, or of FitOptions for what
    is fitted. The model is judged on `evaluation_data`, the dataset's "test" split unless said otherwise, and
    registered as `model_id`.
    """
    spec = requests.training(
        requests.selection(dataset, split, offset, count),
        defense,
        parameters,
        architecture=architecture,
        initial_model=names.attacked(initial_model),
        model_id=model_id,
        evaluation_data=None if evaluation_data is None else requests.selection(evaluation_data),
        mean=mean,
        std=std,
    )
    where = {"device": device, "device_class": device_class, "min_device_memory_gib": min_device_memory_gib}
    fill([spec], {"seed": seed, **where})
    return requests.create(
        spec,
        request_id=request_id,
        validate_only=validate_only,
        display_name=display_name,
        deadline_s=deadline_s,
        queue_limit_s=queue_limit_s,
        after=after,
        reuse=reuse,
    )


def evaluate(
    models: ModelLike | Sequence[ModelLike],
    dataset: DataLike,
    attacks: Sequence[AttackLike] = (),
    *,
    curves: Sequence[CurveLike] = (),
    suite: SuiteLike | None = None,
    adapted: str = "",
    knowledge: str = "",
    split: str = "",
    offset: int = 0,
    count: int = 0,
    seed: int = 0,
    batch_size: int | None = None,
    shard_size: int | None = None,
    device: str | None = None,
    device_class: str | None = None,
    min_device_memory_gib: int | None = None,
    request_id: str = "",
    validate_only: bool = False,
    display_name: str = "",
    deadline_s: float | None = None,
    queue_limit_s: float | None = None,
    after: Sequence[JobLike] = (),
    reuse: bool = False,
) -> CreateJobRequest:
    """Compare models under attacks: `evaluate(["a", "b"], "mnist10k", ["fgsm:epsilon=0.25", "pgd"])`.

    A curve is an attack and its radii: "bim:steps=20@0,0.05,0.1" or `("bim:steps=20", [0, 0.05, 0.1])`. `suite`: what
    belongs together at a radius, "standard:epsilon=8/255". `adapted`: how attacks were designed against the very
    defense, `knowledge`: what the attacker is taken to know; both for the report.
    """
    several = models if isinstance(models, Sequence) and not isinstance(models, str) else [models]
    spec = EvaluationSpec(
        models=[names.attacked(model) for model in several],
        data=requests.selection(dataset, split, offset, count),
        attacks=[requests.attack(kind) for kind in attacks],
        curves=[requests.curve(kind) for kind in curves],
        suite=None if suite is None else requests.suite(suite),
    )
    if adapted or knowledge:
        fill([spec.adaptive], {"adapted": adapted, "knowledge": knowledge})
    fill([spec], {"seed": seed})
    where = {"device": device, "device_class": device_class, "min_device_memory_gib": min_device_memory_gib}
    requests.execution(spec, batch_size=batch_size, shard_size=shard_size, **where)
    return requests.create(
        spec,
        request_id=request_id,
        validate_only=validate_only,
        display_name=display_name,
        deadline_s=deadline_s,
        queue_limit_s=queue_limit_s,
        after=after,
        reuse=reuse,
    )


def poison(
    dataset: DataLike,
    poison: PoisonLike,
    fractions: Sequence[float | str],
    *,
    architecture: str = "",
    sanitizer: str | None = None,
    dropped_fraction: float | str | None = None,
    split: str = "",
    offset: int = 0,
    count: int = 0,
    evaluation_data: DataLike | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    seed: int = 0,
    device: str | None = None,
    device_class: str | None = None,
    min_device_memory_gib: int | None = None,
    request_id: str = "",
    validate_only: bool = False,
    display_name: str = "",
    deadline_s: float | None = None,
    queue_limit_s: float | None = None,
    after: Sequence[JobLike] = (),
    reuse: bool = False,
    **parameters: Value | None,
) -> CreateJobRequest:
    """Poison training sets: `poison("mnist10k", "backdoor", [0.01, 0.05], architecture="wong_cnn", trigger_label=7)`.

    One model, or several, is trained for each of `fractions` (0 to 0.5) and for none, and judged on `evaluation_data`,
    the dataset's "test" split unless said otherwise. `sanitizer`: "none", "loss" or "trimmed", a defender who drops
    `dropped_fraction` of what it is given. `parameters` are the fields of the poison's message and of Optimization, or
    of FitOptions for what is fitted.
    """
    spec = requests.poisoning(
        requests.selection(dataset, split, offset, count),
        poison,
        parameters,
        architecture=architecture,
        fractions=[number(fraction) for fraction in fractions],
        evaluation_data=None if evaluation_data is None else requests.selection(evaluation_data),
        mean=mean,
        std=std,
    )
    where = {"device": device, "device_class": device_class, "min_device_memory_gib": min_device_memory_gib}
    fill([spec], {"seed": seed, **where, "sanitizer": sanitizer, "dropped_fraction": dropped_fraction})
    return requests.create(
        spec,
        request_id=request_id,
        validate_only=validate_only,
        display_name=display_name,
        deadline_s=deadline_s,
        queue_limit_s=queue_limit_s,
        after=after,
        reuse=reuse,
    )


def as_method(function: F, build: Callable[..., Any], gives: str = "Job") -> F:
    """Give a client's method the name, words and arguments of the builder that it sends; `gives` is what comes back."""
    described = inspect.signature(build, eval_str=False)
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    shown = described.replace(parameters=[self, *described.parameters.values()], return_annotation=gives)
    function.__name__, function.__doc__ = build.__name__, build.__doc__
    function.__signature__ = shown  # type: ignore[attr-defined] # inspect.signature and help() look here
    return function
