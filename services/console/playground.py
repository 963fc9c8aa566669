"""The playground: what an attack does to one picture, as epsilon moves, and to a hardened model beside it.

    GET  /playground/          the page
    GET  /playground/samples   pictures of a dataset, for the strip of samples
    POST /playground/preview   one picture under attack; its values travel as base64, float32 and little-endian

The page keeps all state: the console only hands a preview on, and what comes back.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

from sparring.errors import InvalidArgument, Violation
from sparring.v1.datasets_pb2 import Dataset
from sparring.v1.models_pb2 import Model
from sparring.v1.preview_pb2 import ModelPreview, Picture, PreviewAttackResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from services.console.clients import client_of
from services.console.pages import changing, render

Listed = TypeVar("Listed", Model, Dataset)

STRIP = 12
# Beyond these a list of choices is of no use; models and datasets have pages of their own.
MOST = 200
# What of an attack the page can set, beside its goal.
PARAMETERS = ("epsilon", "steps", "from_sample")


async def show(request: Request) -> Response:
    """Show the page, with what there is to choose from."""
    client = await client_of(request)
    models = await _ready(client.models.list(page_size=MOST))
    datasets = await _ready(client.datasets.list(page_size=MOST))
    chosen, hardened = _choose(models, request.query_params)
    return render(
        request,
        "playground.html",
        models=models,
        datasets=datasets,
        chosen=chosen,
        hardened=hardened,
        dataset=request.query_params.get("dataset", ""),
    )


async def _ready(listed: AsyncIterator[Listed]) -> list[Listed]:
    found: list[Listed] = []
    async for one in listed:
        if one.state == type(one).STATE_READY:
            found.append(one)
        if len(found) == MOST:
            break
    return found


def _choose(models: Sequence[Model], asked: Mapping[str, str]) -> tuple[str, str]:
    """Return the model that the page begins with, and the one beside it: where nobody says, a hardened one."""
    plain = [model for model in models if model.defense in {"", "standard"}]
    first = asked.get("model", "") or next((model.name for model in [*plain, *models]), "")
    known = {model.name: model for model in models}
    first = first if first.startswith("models/") else f"models/{first}"
    if "hardened" in asked or first not in known:
        return first, asked.get("hardened", "")
    shape = _shape_of(known[first])
    fitting = [one.name for one in models if one not in plain and one.name != first and _shape_of(one) == shape]
    return first, next(iter(fitting), "")


def _shape_of(model: Model) -> tuple[tuple[int, ...], int]:
    return tuple(model.signature.input_shape), model.signature.classes


async def samples(request: Request) -> Response:
    """Give a few samples of a dataset."""
    asked = request.query_params
    client = await client_of(request)
    found = await client.samples(asked.get("dataset", ""), offset=_whole(asked.get("offset", "0")), count=STRIP)
    shown = [{"index": one.index, "label": one.label, "pixels": _text(one.picture.uint8)} for one in found.samples]
    shape = list(found.samples[0].picture.shape)
    return JSONResponse({"samples": shown, "shape": shape, "split": found.split, "total": found.total})


@changing
async def preview(request: Request) -> Response:
    """Have one picture attacked."""
    asked = await _body(request)
    attack = asked.get("attack")
    given = {} if attack is None else {name: attack[name] for name in PARAMETERS if name in attack}
    shown: Picture | tuple[str, int]
    if isinstance(asked.get("sample"), dict):
        sample = asked["sample"]
        shown, split = (str(sample.get("dataset", "")), _whole(sample.get("index"))), str(sample.get("split", ""))
    else:
        shown, split = _drawn(asked.get("drawn")), ""
    client = await client_of(request)
    found = await client.preview(
        [str(name) for name in asked.get("models", [])],
        shown,
        None if attack is None else str(attack.get("kind")),
        split=split,
        target=None if attack is None else attack.get("target"),
        seed=_whole(asked.get("seed", 0)),
        **given,
    )
    return JSONResponse(_told(found))


async def _body(request: Request) -> dict[str, Any]:
    try:
        asked = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        asked = None
    attack = asked.get("attack") if isinstance(asked, dict) else None
    lists = isinstance(asked, dict) and isinstance(asked.get("models", []), list)
    if not lists or not isinstance(attack, dict | None):
        raise _bad("request", "must be an object with models, a picture and an attack")
    assert isinstance(asked, dict), "it was looked at"
    return asked


def _drawn(told: Any) -> Picture:
    """Read a picture that the page has made: its shape, and its values as float32 or as grey levels."""
    if not isinstance(told, dict) or not isinstance(told.get("shape"), list):
        raise _bad("drawn", "must have a shape, and float32 or uint8 as base64")
    try:
        kind = "float32" if "float32" in told else "uint8"
        raw = base64.b64decode(str(told.get(kind)), validate=True)
        return Picture(shape=[_whole(side) for side in told["shape"]], **{kind: raw})
    except (binascii.Error, ValueError) as error:
        raise _bad("drawn", f"can't be read: {error}") from error


def _whole(told: Any) -> int:
    text = str(told)
    if not text.isdecimal() or len(text) > len(str(1 << 40)):
        raise _bad("number", f"must be a whole number, not {text[:40]!r}")
    return int(text)


def _bad(field: str, description: str) -> InvalidArgument:
    return InvalidArgument.of([Violation(field, description)])


def _told(found: PreviewAttackResponse) -> dict[str, Any]:
    """Put an answer as the script reads it."""
    return {
        "shape": list(found.original.shape),
        "original": _text(found.original.float32),
        "label": found.label if found.HasField("label") else None,
        "seconds": found.seconds,
        "models": [_model(one) for one in found.models],
    }


def _model(one: ModelPreview) -> dict[str, Any]:
    return {
        "model": one.model,
        "before": list(one.clean_probabilities),
        "after": list(one.probabilities),
        "adversarial": _text(one.adversarial.float32),
        "label": one.label,
        "target": one.target if one.HasField("target") else None,
        "attacked": one.attacked,
        "success": one.success,
        "distance": one.distance,
        "forwards": one.forwards,
        "backwards": one.backwards,
    }


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


ROUTES: Sequence[BaseRoute] = (
    Route("/", show),
    Route("/samples", samples),
    Route("/preview", preview, methods=["POST"]),
)
