"""New jobs: an attack, a training or an evaluation, from a form that the catalog fills."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sparring import AsyncClient, errors
from sparring.v1.catalog_pb2 import MethodInfo
from sparring.v1.jobs_pb2 import CreateJobRequest, Job
from sparring.v1.models_pb2 import Model
from starlette.datastructures import FormData, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.console import forms, orders, words
from services.console.clients import client_of
from services.console.pages import changing, render

FIRST = {"attack": "fgsm", "training": "standard", "evaluation": ""}
# A first job of a person who looks is small; empty asks for everything.
START = {
    "attack": {"count": "200"},
    "training": {"p.epochs": "5"},
    "evaluation": {"count": "200", "level": "quick", "norm": "linf", "epsilon": "0.1"},
}
MOST_MODELS = 500


async def choose(request: Request) -> Response:
    """What kind of job?"""
    return render(request, "new.html")


async def show(request: Request) -> Response:
    """An empty form, or one that a link has filled: `/new/attack?model=first&p.epsilon=0.1`."""
    kind = _kind(request)
    return await _form(request, kind, {**START[kind], **_typed(request.query_params)}, {}, [])


async def parameters(request: Request) -> Response:
    """The part of the form that belongs to one method."""
    kind = _kind(request)
    typed = _typed(request.query_params)
    method = await _method(await client_of(request), kind, typed)
    return render(request, "method_fields.html", method=method, fields=_fields(method, typed, {}))


@changing
async def create(request: Request) -> Response:
    """Submit the job, or show what is wrong beside the fields."""
    kind = _kind(request)
    form = await request.form()
    typed = _typed(form)
    client = await client_of(request)
    method = await _method(client, kind, typed)
    try:
        job = await client.jobs.create(_order(kind, typed, method, form))
    except errors.InvalidArgument as error:
        wrong, rest = forms.by_field(error.violations, orders.known_names(method), orders.ALIASES)
        return await _form(request, kind, typed, wrong, rest if wrong or rest else [error.message])
    except (errors.NotFound, errors.FailedPrecondition, errors.AlreadyExists, errors.ResourceExhausted) as error:
        return await _form(request, kind, typed, {}, [error.message])
    return RedirectResponse(f"/{job.name}", 303)


def _order(kind: str, typed: Mapping[str, str], method: MethodInfo | None, form: FormData) -> CreateJobRequest:
    if kind == "attack":
        return orders.attack(typed, method)
    if kind == "training":
        return orders.training(typed, method)
    return orders.evaluation(typed, [str(name) for name in form.getlist("models")])


def _kind(request: Request) -> str:
    kind = request.path_params["kind"]
    if kind not in FIRST:
        raise HTTPException(404, "There are forms for an attack, a training and an evaluation.")
    return str(kind)


def _typed(values: FormData | QueryParams) -> dict[str, str]:
    return {name: value for name, value in values.multi_items() if isinstance(value, str)}


async def _method(client: AsyncClient, kind: str, typed: Mapping[str, str]) -> MethodInfo | None:
    if kind == "evaluation":
        return None
    known = await (client.catalog.attacks() if kind == "attack" else client.catalog.defenses())
    asked = typed.get("method", "") or FIRST[kind]
    return next((method for method in known if method.name == asked), None)


def _fields(method: MethodInfo | None, typed: Mapping[str, str], wrong: Mapping[str, str]) -> list[forms.Field]:
    return [] if method is None else forms.fields(method.parameters, typed, wrong)


async def _form(
    request: Request, kind: str, typed: Mapping[str, str], wrong: Mapping[str, str], rest: Sequence[str]
) -> Response:
    """The form with what was typed, what was wrong with which field, and what was wrong beyond the fields."""
    client = await client_of(request)
    method = await _method(client, kind, typed)
    chosen = {**typed, "method": method.name if method is not None else typed.get("method", "")}
    context: dict[str, Any] = {
        "kind": kind,
        # A field that nothing is known of is empty.
        "typed": defaultdict(str, chosen),
        "wrong": defaultdict(str, wrong),
        "rest": rest,
        "method": method,
        "fields": _fields(method, typed, wrong),
        "models": await _models(client),
        "datasets": [one async for one in client.datasets.list() if one.state == one.STATE_READY],
        "request_id": str(uuid.uuid4()),
        "orders": orders,
        "chosen_models": request.query_params.getlist("models"),
        "method_choices": [],
        "architectures": [],
        "optimization": [],
    }
    if kind == "attack":
        context["method_choices"] = _choices(await client.catalog.attacks())
    elif kind == "training":
        context["method_choices"] = _choices(await client.catalog.defenses())
        context["architectures"] = await client.catalog.architectures()
        context["optimization"] = forms.fields(orders.optimization(), typed, wrong)
    if request.method == "POST":
        context["chosen_models"] = [str(name) for name in (await request.form()).getlist("models")]
    return render(request, "new_job.html", status=400 if wrong or rest else 200, **context)


def _choices(methods: Sequence[MethodInfo]) -> list[tuple[str, str]]:
    return [(method.name, f"{method.name}: {method.title}") for method in methods]


async def _models(client: AsyncClient) -> list[tuple[str, str]]:
    """Models that a job may name, with what they are; those that a training is making come after them."""
    found: list[tuple[str, str]] = []
    async for model in client.models.list():
        if model.state == Model.STATE_READY:
            found.append((words.bare(model.name), _described(model)))
        if len(found) == MOST_MODELS:
            break
    for state in ("QUEUED", "RUNNING"):
        jobs = client.jobs.list(f"state = {state} AND kind = training")
        found.extend([(job.name, f"{_made(job)}, still in training") async for job in jobs])
    return found


def _made(job: Job) -> str:
    return job.training.model_id or words.short(job.name)


def _described(model: Model) -> str:
    defense = f", {words.sentence(model.defense)}" if model.defense else ""
    return f"{words.bare(model.name)} ({model.signature.architecture}{defense})"


ROUTES: Sequence[BaseRoute] = (
    Route("/new", choose),
    Route("/new/{kind}", show),
    Route("/new/{kind}", create, methods=["POST"]),
    Route("/new/{kind}/parameters", parameters),
)
