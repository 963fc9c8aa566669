"""What the service can do and who works in it: the catalog, the workers and queues, and the tenant's account."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence

from sparring.v1.tenants_pb2 import AuditEntry, Role
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.console import forms, told
from services.console.clients import client_of
from services.console.pages import render

AUDIT_ENTRIES = 100
LISTED_JOBS = 200


async def catalog(request: Request) -> Response:
    """Attacks, defenses, poisons and architectures, with formula, paper and parameters."""
    known = (await client_of(request)).catalog
    attacks, defenses, poisons, architectures = await gather(
        known.attacks(), known.defenses(), known.poisons(), known.architectures()
    )
    families = (("attack", "Attacks", attacks), ("training", "Defenses", defenses), ("", "Poisons", poisons))
    return render(request, "catalog.html", families=families, architectures=architectures, forms=forms)


async def workers(request: Request) -> Response:
    """Workers that were heard of, what each does, and what waits."""
    client = await client_of(request)
    info = await client.catalog.info()
    counts = {}
    for state in ("queued", "running"):
        counts[state] = [job async for job in client.jobs.list(f"state = {state.upper()}", page_size=LISTED_JOBS + 1)][
            : LISTED_JOBS + 1
        ]
    return render(request, "workers.html", info=info, counts=counts, most=LISTED_JOBS, told=told)


async def account(request: Request) -> Response:
    """The tenant, what it may and does use; its audit log for admins."""
    client = await client_of(request)
    tenant = await client.tenant()
    entries: list[AuditEntry] = []
    if tenant.role == Role.ROLE_ADMIN:
        async for entry in client.audit(page_size=AUDIT_ENTRIES):
            entries.append(entry)
            if len(entries) == AUDIT_ENTRIES:
                break
    quota, usage = tenant.quota, tenant.usage
    used = (
        ("Jobs that wait", usage.queued_jobs, quota.max_queued_jobs, "number"),
        ("Jobs that run", usage.running_jobs, quota.max_running_jobs, "number"),
        ("Artifacts", usage.artifact_bytes, quota.max_artifact_bytes, "size"),
        ("Compute of jobs not ended, in 10⁹ multiply-adds", usage.giga_ops, quota.max_giga_ops, "number"),
    )
    role = Role.Name(tenant.role).removeprefix("ROLE_").lower()
    return render(request, "account.html", tenant=tenant, role=role, used=used, entries=entries)


ROUTES: Sequence[BaseRoute] = (
    Route("/catalog", catalog),
    Route("/workers", workers),
    Route("/account", account),
)
