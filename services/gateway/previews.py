"""PreviewService: pins a preview up in the store, and waits for the worker that answers it."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Iterable
from typing import Any, TypeVar

import grpc
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status
from sparring.v1 import datasets_pb2, jobs_pb2, models_pb2, preview_pb2, preview_pb2_grpc
from typing_extensions import override

from services.errors import (
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    SparringError,
    Unavailable,
    Violation,
)
from services.gateway.check_previews import (
    check_attack_request,
    check_dataset,
    check_fit,
    check_length,
    check_samples,
    selection_of,
)
from services.gateway.defaults import fill
from services.gateway.identity import current
from services.gateway.names import bare
from services.gateway.registry import Registry, ready
from services.gateway.resolve import fill_attack, pinned
from services.gateway.selections import pin
from services.jobs.previews import AsyncPreviewBoard

Context = grpc.aio.ServicerContext[Any, Any]
Resource = TypeVar("Resource", models_pb2.Model, datasets_pb2.Dataset)

# The longest that a call waits for a worker.
PREVIEW_S = 5.0
# Of a caller's own deadline, what the answer needs to get back.
MARGIN_S = 0.1
# Previews of one gateway under way, of all tenants; each holds a connection to the store.
AT_ONCE = 48
SAMPLES_BYTES = 2 << 20


class Previews(preview_pb2_grpc.PreviewServiceServicer):
    """Translates between the contract, the registry and the board of previews."""

    def __init__(self, registry: Registry, board: AsyncPreviewBoard, *, most: int) -> None:
        """`most`: previews that one tenant may have under way."""
        self._registry, self._board, self._most = registry, board, most
        self._under_way = 0

    @override
    async def PreviewAttack(
        self, request: preview_pb2.PreviewAttackRequest, context: Context
    ) -> preview_pb2.PreviewAttackResponse:
        tenant = current().tenant
        _refuse(check_attack_request(request))
        names = [bare(name, "models") or "" for name in request.models]
        lookups = [self._registry.model(tenant, name) for name in names]
        models = [_usable(model) for model in await asyncio.gather(*lookups)]
        dataset = await self._dataset(tenant, request.sample.dataset) if request.HasField("sample") else None
        if request.HasField("attack"):
            fill_attack(request.attack)
        _refuse(
            [
                *(() if dataset is None else check_dataset(request, dataset)),
                *check_length(request.attack),
                *check_fit(request, models, dataset),
            ]
        )
        data = None if dataset is None else pin(selection_of(request, 1), dataset, wanted="test")
        task = _task(tenant, attack=request, models=[pinned(model) for model in models], data=data)
        return (await self._ask(task, context)).attack

    @override
    async def ListSamples(
        self, request: preview_pb2.ListSamplesRequest, context: Context
    ) -> preview_pb2.ListSamplesResponse:
        tenant = current().tenant
        _refuse(check_samples(request))
        fill(request)
        dataset = await self._dataset(tenant, request.dataset)
        _refuse(check_dataset(request, dataset))
        one = pin(selection_of(request, 1), dataset, wanted="test")
        total = next(split.count for split in dataset.splits if split.name == one.split)
        fitting = max(1, SAMPLES_BYTES // math.prod(dataset.input_shape))
        one.count = min(request.count, total - request.offset, fitting)
        found = (await self._ask(_task(tenant, samples=request, data=one), context)).samples
        found.split, found.total = one.split, total
        return found

    async def _dataset(self, tenant: str, name: str) -> datasets_pb2.Dataset:
        return _usable(await self._registry.dataset(tenant, bare(name, "datasets") or ""))

    async def _ask(self, task: preview_pb2.PreviewTask, context: Context) -> preview_pb2.PreviewAnswer:
        """Return a worker's answer. ResourceExhausted; Unavailable; what the worker says of models and data."""
        if self._under_way >= AT_ONCE:
            message = f"{AT_ONCE} previews are under way at this gateway, which is the most; ask again"
            raise ResourceExhausted(message, reason="TOO_MANY_PREVIEWS", retry_after_s=0.5)
        left_s = context.time_remaining()
        timeout_s = PREVIEW_S if left_s is None else max(MARGIN_S, min(PREVIEW_S, left_s - MARGIN_S))
        self._under_way += 1
        try:
            raw = await self._board.ask(
                task.id, task.tenant, task.SerializeToString(), timeout_s=timeout_s, most=self._most
            )
        finally:
            self._under_way -= 1
        if raw is None:
            raise Unavailable(
                f"no worker answered within {timeout_s:.1f} s; ask again, as the first preview of a worker takes "
                "seconds. If that does not help, see that a worker runs without SPARRING_PREVIEWS=0",
                reason="PREVIEW_UNANSWERED",
            )
        found = preview_pb2.PreviewAnswer.FromString(raw)
        if found.HasField("error"):
            raise _told(found.error)
        return found


def _task(
    tenant: str,
    *,
    attack: preview_pb2.PreviewAttackRequest | None = None,
    samples: preview_pb2.ListSamplesRequest | None = None,
    models: Iterable[jobs_pb2.ResolvedModel] = (),
    data: jobs_pb2.ResolvedData | None = None,
) -> preview_pb2.PreviewTask:
    return preview_pb2.PreviewTask(
        id=secrets.token_hex(16), tenant=tenant, attack=attack, samples=samples, models=models, data=data
    )


def _refuse(violations: Iterable[Violation]) -> None:
    """Raise everything that is wrong, if anything is."""
    found = list(violations)
    if found:
        raise InvalidArgument(found)


def _usable(resource: Resource) -> Resource:
    """Return a model or a dataset that may be used. FailedPrecondition: it is being checked, or was rejected."""
    problem = ready(resource)
    if problem is not None:
        raise problem
    return resource


def _told(error: Status) -> SparringError:
    """Return a worker's error as one of the gateway's."""
    info = error_details_pb2.ErrorInfo()
    reason = info.reason if error.details and error.details[0].Unpack(info) else None
    match error.code:
        case code_pb2.FAILED_PRECONDITION | code_pb2.INVALID_ARGUMENT:
            return FailedPrecondition(error.message, reason=reason)
        case code_pb2.RESOURCE_EXHAUSTED:
            return ResourceExhausted(error.message, reason=reason, retry_after_s=1.0)
        case code_pb2.UNAVAILABLE:
            return Unavailable(error.message, reason=reason)
    return SparringError(error.message, reason=reason)
