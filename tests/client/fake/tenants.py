"""The tenant of the fake, and what its calls carried."""

# ruff: noqa: N802 - the contract's names
from __future__ import annotations

from sparring.v1 import tenants_pb2, tenants_pb2_grpc


class Tenants(tenants_pb2_grpc.TenantServiceServicer):
    def __init__(self):
        super().__init__()
        self.tenant = tenants_pb2.Tenant(name="tenants/vision", key="ci", role="ROLE_SUBMIT", weight=1.0)
        self.audit = []

    def GetTenant(self, request, context):
        self.enter("GetTenant", request, context)
        return self.tenant

    def ListAuditEntries(self, request, context):
        self.enter("ListAuditEntries", request, context)
        start = int(request.page_token) if request.page_token else 0
        page = self.audit[start : start + request.page_size]
        more = str(start + len(page)) if start + len(page) < len(self.audit) else ""
        return tenants_pb2.ListAuditEntriesResponse(entries=page, next_page_token=more)
