"""ModelService: registers weights, and tells what became of their check."""

from __future__ import annotations

from typing import Any

import grpc
from sparring.v1 import jobs_pb2, models_pb2, models_pb2_grpc
from typing_extensions import override

from services.artifacts.store import AsyncArtifactStore
from services.errors import InvalidArgument, Violation
from services.gateway import intake
from services.gateway.check_signature import check_signature
from services.gateway.check_tensors import check_tensors
from services.gateway.files import WHOLE, read_tensors
from services.gateway.identity import current
from services.gateway.names import ID_RULE, bare_digest, is_id, required_id, shown
from services.gateway.paging import Pager, page_size
from services.gateway.registry import Registry

Context = grpc.aio.ServicerContext[Any, Any]

# Digits of the digest that make the id of a model that was given none.
ID_DIGITS = 16


class Models(models_pb2_grpc.ModelServiceServicer):
    """Translates between the contract, the registry and the artifact store."""

    def __init__(self, registry: Registry, artifacts: AsyncArtifactStore, pager: Pager) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._pager = pager

    @override
    async def RegisterModel(self, request: models_pb2.RegisterModelRequest, context: Context) -> models_pb2.Model:
        tenant = current().tenant
        violations = check_registration(request)
        digest = bare_digest(request.weights)
        if violations or digest is None:
            raise InvalidArgument(violations)

        def same(model: models_pb2.Model) -> bool:
            return model.weights == f"artifacts/{digest}" and model.signature == request.signature

        identifier = request.model_id or digest[:ID_DIGITS]
        earlier = await intake.known(self._registry, tenant, models_pb2.Model, identifier, same)
        if earlier is not None:
            return earlier
        await self._check_file(tenant, digest, request.signature)
        model = models_pb2.Model(
            name=f"models/{identifier}",
            state=models_pb2.Model.STATE_CHECKING,
            signature=request.signature,
            weights=f"artifacts/{digest}",
            job=f"jobs/{intake.new_job_id()}",
        )
        model.create_time.GetCurrentTime()
        return await intake.admit(self._registry, tenant, model, jobs_pb2.IntakeSpec(model=model), (digest,), same=same)

    @override
    async def GetModel(self, request: models_pb2.GetModelRequest, context: Context) -> models_pb2.Model:
        return await self._registry.model(current().tenant, required_id(request.name, "models"))

    @override
    async def ListModels(
        self, request: models_pb2.ListModelsRequest, context: Context
    ) -> models_pb2.ListModelsResponse:
        tenant = current().tenant
        scope = ("models", tenant)
        cursor = self._pager.cursor(request.page_token, *scope)
        page = await self._registry.store.registered(
            tenant, "model", int(cursor) if cursor else 0, page_size(request.page_size)
        )
        models = await self._registry.all_checked(tenant, [models_pb2.Model.FromString(record) for record in page])
        token = self._pager.token(str(page.cursor) if page.cursor else "", *scope)
        return models_pb2.ListModelsResponse(models=models, next_page_token=token)

    @override
    async def DeleteModel(
        self, request: models_pb2.DeleteModelRequest, context: Context
    ) -> models_pb2.DeleteModelResponse:
        tenant = current().tenant
        model = await self._registry.model(tenant, required_id(request.name, "models"))
        await intake.forget(self._registry, tenant, model)
        return models_pb2.DeleteModelResponse()

    async def _check_file(self, tenant: str, digest: str, signature: models_pb2.ModelSignature) -> None:
        """Refuse a file whose header can't be that of weights, or not of what is fitted like this model."""
        try:
            tensors = await read_tensors(self._artifacts, tenant, digest)
        except ValueError as error:
            raise InvalidArgument([Violation("weights", str(error))], reason="BAD_WEIGHTS") from error
        if WHOLE in tensors or not tensors:
            raise InvalidArgument([Violation("weights", "must be a safetensors file of weights")], reason="BAD_WEIGHTS")
        faults = [Violation("weights", fault) for fault in check_tensors(signature, tensors)]
        if faults:
            raise InvalidArgument(faults, reason="BAD_WEIGHTS")


def check_registration(request: models_pb2.RegisterModelRequest) -> list[Violation]:
    """Return everything that is wrong with a request by itself."""
    violations = []
    if request.model_id and not is_id(request.model_id):
        violations.append(Violation("model_id", f"must have {ID_RULE}, not {shown(request.model_id)}"))
    if bare_digest(request.weights) is None:
        violations.append(Violation("weights", f"must be `artifacts/{{sha256}}`, not {shown(request.weights)}"))
    return [*violations, *check_signature(request.signature, "signature")]
