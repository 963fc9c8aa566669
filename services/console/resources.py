"""Models and datasets: lists, a page each, pictures of samples, uploads, removal."""

from __future__ import annotations

import shutil
import tempfile
from asyncio import to_thread
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sparring import errors
from sparring.v1.datasets_pb2 import Dataset
from sparring.v1.models_pb2 import Model
from sparring.v1.preview_pb2 import Picture
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.console import png, results
from services.console.clients import client_of
from services.console.pages import changing, render

SAMPLES = 32
MOST = 500


async def models(request: Request) -> Response:
    """Every model, and the form that uploads one."""
    client = await client_of(request)
    found = await _first(client.models.list())
    return render(request, "models.html", models=found, architectures=await client.catalog.architectures())


async def model(request: Request) -> Response:
    """One model."""
    client = await client_of(request)
    return render(request, "model.html", model=await client.models.get(request.path_params["model"]))


async def weights(request: Request) -> Response:
    """A model's weights, as a download."""
    client = await client_of(request)
    found = await client.models.get(request.path_params["model"])
    held = await client.artifacts.get(found.weights)
    name = f"{found.name.rpartition('/')[2]}.safetensors"
    return await results.streamed(client, held, held.size_bytes, "application/octet-stream", results.as_download(name))


@changing
async def delete_model(request: Request) -> Response:
    """Forget a model."""
    await (await client_of(request)).models.delete(request.path_params["model"])
    return RedirectResponse("/models", 303)


async def datasets(request: Request) -> Response:
    """Every dataset, and the form that uploads one."""
    client = await client_of(request)
    return render(request, "datasets.html", datasets=await _first(client.datasets.list()), sources=_sources())


async def dataset(request: Request) -> Response:
    """One dataset: its splits, classes and pictures."""
    client = await client_of(request)
    found = await client.datasets.get(request.path_params["dataset"])
    return render(request, "dataset.html", dataset=found, sources=_sources(), split=_split(request, found))


async def samples(request: Request) -> Response:
    """Pictures of some samples, as a part of the page; a worker has to read them, which may take a moment."""
    client = await client_of(request)
    found = await client.datasets.get(request.path_params["dataset"])
    offset = request.query_params.get("offset", "0")
    answer = await client.samples(
        found, split=_split(request, found), offset=int(offset) if offset.isdecimal() else 0, count=SAMPLES
    )
    shown = [{"index": one.index, "label": one.label, "url": _drawn(one.picture)} for one in answer.samples]
    return render(request, "samples.html", samples=shown, answer=answer, dataset=found, step=SAMPLES)


def _drawn(picture: Picture) -> str:
    """A picture as an address that holds it; of channels that are no colours, the first one."""
    pixels = png.levels(picture.float32) if picture.WhichOneof("pixels") == "float32" else picture.uint8
    channels, height, width = picture.shape
    if channels not in png.COLOUR_TYPES:
        channels, pixels = 1, pixels[: height * width]
    return png.data_url(png.encode((channels, height, width), pixels))


def _split(request: Request, found: Dataset) -> str:
    names = [split.name for split in found.splits]
    asked = request.query_params.get("split", "")
    if asked in names:
        return asked
    return "test" if "test" in names else (names[0] if names else "")


def _sources() -> Mapping[int, str]:
    return {0: "unknown", 1: "built in", 2: "mounted", 3: "uploaded"}


@changing
async def delete_dataset(request: Request) -> Response:
    """Forget an uploaded dataset."""
    await (await client_of(request)).datasets.delete(request.path_params["dataset"])
    return RedirectResponse("/datasets", 303)


async def upload_model(request: Request) -> Response:
    """Take a safetensors file and what the network is, and register it; a worker checks it afterwards."""
    client = await client_of(request)
    form = await request.form()
    async with _kept(form, "weights") as paths:
        made = await client.models.upload(
            _needed(paths, "weights"),
            architecture=_text(form, "architecture"),
            input_shape=_numbers(form, "input_shape", int),
            classes=_number(form, "classes"),
            mean=_numbers(form, "mean", float),
            std=_numbers(form, "std", float),
            model_id=_text(form, "model_id"),
            wait=False,
        )
    return _made(request, made)


async def upload_dataset(request: Request) -> Response:
    """Take pictures and labels, and register them; a worker checks them afterwards."""
    client = await client_of(request)
    form = await request.form()
    async with _kept(form, "images", "labels") as paths:
        made = await client.datasets.upload(
            _needed(paths, "images"),
            paths.get("labels"),
            classes=_number(form, "classes"),
            dataset_id=_text(form, "dataset_id"),
            wait=False,
        )
    return _made(request, made)


def _made(request: Request, made: Model | Dataset) -> Response:
    """Go to the new page; a script is told where that is."""
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"address": f"/{made.name}"}, 201)
    return RedirectResponse(f"/{made.name}", 303)


@asynccontextmanager
async def _kept(form: FormData, *names: str) -> AsyncGenerator[dict[str, Path], None]:
    """Files of a form as paths, for as long as they are sent on."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sparring-upload-")))
        paths = {}
        for name in names:
            given = form.get(name)
            if isinstance(given, UploadFile) and given.size:
                paths[name] = folder / name
                await to_thread(_copy, given, paths[name])
        yield paths


def _copy(given: UploadFile, path: Path) -> None:
    with path.open("xb") as file:
        shutil.copyfileobj(given.file, file)


def _needed(paths: Mapping[str, Path], name: str) -> Path:
    if name not in paths:
        raise errors.InvalidArgument.of([errors.Violation(name, "choose a file that is not empty")])
    return paths[name]


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _number(form: FormData, name: str) -> int:
    text = _text(form, name)
    if not text.isdecimal() or len(text) > 9:
        raise errors.InvalidArgument.of([errors.Violation(name, f"{text!r} is not a whole number")])
    return int(text)


def _numbers(form: FormData, name: str, kind: type[int | float]) -> list[Any]:
    """Numbers with commas or `x` between them; none for an empty field."""
    text = _text(form, name).replace("x", ",").replace("×", ",")
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        message = f"{text!r} are not numbers with commas between them"
        raise errors.InvalidArgument.of([errors.Violation(name, message)]) from None


async def _first(listed: Any) -> list[Any]:
    """The first of a list, and no more than a page can show."""
    found = []
    async for one in listed:
        found.append(one)
        if len(found) == MOST:
            break
    return found


ROUTES: Sequence[BaseRoute] = (
    Route("/models", models),
    Route("/models/{model}", model),
    Route("/models/{model}/weights", weights),
    Route("/models/{model}/delete", delete_model, methods=["POST"]),
    Route("/datasets", datasets),
    Route("/datasets/{dataset}", dataset),
    Route("/datasets/{dataset}/samples", samples),
    Route("/datasets/{dataset}/delete", delete_dataset, methods=["POST"]),
    Route("/uploads/model", changing(upload_model, files=1), methods=["POST"]),
    Route("/uploads/dataset", changing(upload_dataset, files=2), methods=["POST"]),
)
