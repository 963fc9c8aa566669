"""What the names in a request stand for, looked up at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2

from services.errors import FailedPrecondition, NotFound
from services.gateway.names import bare, is_id
from services.gateway.registry import Registry, ready
from services.jobs.states import TERMINAL, State

Resource = TypeVar("Resource", models_pb2.Model, datasets_pb2.Dataset)
Problem = NotFound | FailedPrecondition


@dataclass(frozen=True, kw_only=True)
class References:
    """The models and datasets of a request by the text that names them; what can't be used is in `missing`, by path.

    One that is there but not READY is in both, so that the checks can still say what else is wrong.
    """

    models: Mapping[str, models_pb2.Model] = field(default_factory=dict)
    datasets: Mapping[str, datasets_pb2.Dataset] = field(default_factory=dict)
    missing: Mapping[str, Problem] = field(default_factory=dict)
    # Another model has the training's `model_id`.
    id_taken: bool = False
    # Ids of the jobs that the request asks to come after, each once.
    after: tuple[str, ...] = ()


def models_of(request: jobs_pb2.CreateJobRequest) -> dict[str, str]:
    """Return the text that names each model of a request, by its path."""
    match request.WhichOneof("spec"):
        case "attack":
            return {"attack.model": request.attack.model}
        case "evaluation":
            return {f"evaluation.models[{index}]": name for index, name in enumerate(request.evaluation.models)}
        case "training" if request.training.initial_model:
            return {"training.initial_model": request.training.initial_model}
    return {}


def selections_of(request: jobs_pb2.CreateJobRequest) -> dict[str, datasets_pb2.DataSelection]:
    """Return each selection of a request, by its path."""
    match request.WhichOneof("spec"):
        case "attack":
            return {"attack.data": request.attack.data}
        case "evaluation":
            return {"evaluation.data": request.evaluation.data}
        case "training" | "poisoning" as kind:
            spec: jobs_pb2.TrainingSpec | jobs_pb2.PoisoningSpec = getattr(request, kind)
            found = {f"{kind}.data": spec.data}
            if spec.HasField("evaluation_data"):
                found[f"{kind}.evaluation_data"] = spec.evaluation_data
            return found
    return {}


async def look_up(request: jobs_pb2.CreateJobRequest, registry: Registry, tenant: str) -> References:
    """Look up every name of a tenant's request; a malformed one is left to the checks."""
    models: dict[str, models_pb2.Model] = {}
    datasets: dict[str, datasets_pb2.Dataset] = {}
    missing: dict[str, Problem] = {}
    searches = []
    for path, name in models_of(request).items():
        if bare(name, "jobs" if name.startswith("jobs/") else "models") is not None:
            searches.append(_keep(registry.model_named(tenant, name), name, path, models, missing))
    for path, selection in selections_of(request).items():
        identifier = bare(selection.dataset, "datasets")
        if identifier is not None:
            searches.append(
                _keep(registry.dataset(tenant, identifier), selection.dataset, f"{path}.dataset", datasets, missing)
            )
    after = [bare(name, "jobs") for name in request.after]
    searches += [
        _keep_job(registry, tenant, job_id, f"after[{index}]", missing)
        for index, job_id in enumerate(after)
        if job_id is not None
    ]
    await asyncio.gather(*searches)
    # Told in the order of the request, and not in that of the answers, which says what was quick to be found missing.
    missing = dict(sorted(missing.items(), key=lambda item: _place(request, item[0])))
    taken = await _taken(request.training.model_id, registry, tenant)
    named = tuple(dict.fromkeys(job_id for job_id in after if job_id is not None))
    return References(models=models, datasets=datasets, missing=missing, id_taken=taken, after=named)


def _place(request: jobs_pb2.CreateJobRequest, path: str) -> int:
    """Where a path stands among the names of a request: its models, then its samples, then its `after`."""
    paths = [*models_of(request), *(f"{path}.dataset" for path in selections_of(request))]
    paths += [f"after[{index}]" for index in range(len(request.after))]
    return paths.index(path) if path in paths else len(paths)


async def _keep(
    search: Awaitable[Resource], name: str, path: str, found: dict[str, Resource], missing: dict[str, Problem]
) -> None:
    """Put what a search brings, or why it brings nothing usable, where it belongs."""
    problem: Problem | None
    try:
        found[name] = await search
        problem = ready(found[name])
    except (NotFound, FailedPrecondition) as error:
        problem = error
    if problem is not None:
        missing[path] = problem


async def _keep_job(registry: Registry, tenant: str, job_id: str, path: str, missing: dict[str, Problem]) -> None:
    """Say why nothing can come after a job: it is not there, or it has ended without success."""
    try:
        record = await registry.store.get(tenant, job_id)
    except NotFound as error:
        missing[path] = error
        return
    if record.state in TERMINAL - {State.SUCCEEDED}:
        message = f"jobs/{job_id} is {record.state.name}, so nothing can come after it; retry it first"
        missing[path] = FailedPrecondition(message, reason="DEPENDENCY_FAILED")


async def _taken(model_id: str, registry: Registry, tenant: str) -> bool:
    """Tell whether a model has that id; none has an empty or a malformed one."""
    if not is_id(model_id):
        return False
    try:
        await registry.store.lookup(tenant, "model", model_id)
    except NotFound:
        return False
    return True
