"""TenantService: what the caller's tenant may use and uses, and what was done in its name."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from sparring.v1 import tenants_pb2, tenants_pb2_grpc
from typing_extensions import override

from services.gateway.identity import current
from services.gateway.paging import Pager, page_size
from services.jobs.store import AsyncJobStore

Context = grpc.aio.ServicerContext[Any, Any]


class Tenants(tenants_pb2_grpc.TenantServiceServicer):
    """Translates between the contract and the store."""

    def __init__(self, store: AsyncJobStore, pager: Pager) -> None:
        self._store = store
        self._pager = pager

    @override
    async def GetTenant(self, request: tenants_pb2.GetTenantRequest, context: Context) -> tenants_pb2.Tenant:
        who = current()
        quota, usage = await asyncio.gather(self._store.quota(who.tenant), self._store.usage(who.tenant))
        return tenants_pb2.Tenant(
            name=f"tenants/{who.tenant}",
            key=who.key,
            role=tenants_pb2.Role.Value(f"ROLE_{who.role.name}"),
            quota=tenants_pb2.Quota(
                max_queued_jobs=quota.max_queued_jobs,
                max_running_jobs=quota.max_running_jobs,
                max_artifact_bytes=quota.max_artifact_bytes,
                max_giga_ops=quota.max_giga_ops,
            ),
            usage=tenants_pb2.Usage(
                queued_jobs=usage.queued_jobs,
                running_jobs=usage.running_jobs,
                artifact_bytes=usage.artifact_bytes,
                giga_ops=usage.giga_ops,
            ),
            weight=quota.weight,
        )

    @override
    async def ListAuditEntries(
        self, request: tenants_pb2.ListAuditEntriesRequest, context: Context
    ) -> tenants_pb2.ListAuditEntriesResponse:
        tenant = current().tenant
        scope = ("audit", tenant)
        cursor = self._pager.cursor(request.page_token, *scope)
        limit = page_size(request.page_size)
        page = await self._store.audit_entries(tenant, before=int(cursor) if cursor else 0, limit=limit)
        token = self._pager.token(str(page.cursor) if page.cursor else "", *scope)
        entries = [tenants_pb2.AuditEntry.FromString(entry) for entry in page]
        return tenants_pb2.ListAuditEntriesResponse(entries=entries, next_page_token=token)
