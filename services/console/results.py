"""What a job leaves behind: its table, its checklist, its manifest, its report, and its files to download.

Files come from clients and jobs, so none of them may act in this site's name: the report is served under a
Content-Security-Policy that puts it into a sandbox without scripts, forms or an origin; everything else is a download.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from sparring import AsyncClient
from sparring.errors import ServiceError
from sparring.names import ArtifactLike
from sparring.v1.attacks_pb2 import Norm
from sparring.v1.jobs_pb2 import Job, JobArtifact, ResultRow
from sparring.v1.suites_pb2 import ChecklistItem
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from services.console import told
from services.console.clients import client_of

REPORT_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'"
)
FILE_CSP = "sandbox; default-src 'none'; frame-ancestors 'none'"
MANIFEST_BYTES = 256 << 10


def rows(job: Job) -> list[dict[str, Any]]:
    """The result's table, a mapping for each line."""
    return [_row(row) for row in job.result.rows]


def _row(row: ResultRow) -> dict[str, Any]:
    kind = row.parameters.WhichOneof("kind")
    return {
        "row": row,
        "norm": "" if row.attack == "clean" else Norm.Name(row.norm).removeprefix("NORM_").replace("LINF", "L∞"),
        "parameters": [] if kind is None else list(told.parameters(getattr(row.parameters, kind))),
        "clean": row.attack == "clean",
    }


def checklist(job: Job) -> list[dict[str, Any]]:
    """The points of a robustness report with their states in words."""
    return [
        {"item": item, "status": ChecklistItem.Status.Name(item.status).removeprefix("STATUS_").lower()}
        for item in job.result.checklist
    ]


async def manifest(client: AsyncClient, job: Job) -> str:
    """The manifest as indented JSON; empty where there is none, or none to be had, or it is long."""
    held = next((one for one in job.result.artifacts if one.role == "manifest"), None)
    if held is None or held.size_bytes > MANIFEST_BYTES:
        return ""
    try:
        content = await client.artifacts.read(held)
    except ServiceError:
        # It may have lapsed; the page is worth showing without it.
        return ""
    return json.dumps(json.loads(content), indent=2, ensure_ascii=False)


async def report(request: Request) -> Response:
    """The HTML report, in a sandbox of its own."""
    client, _, held = await _find(request, "report")
    headers = {"content-security-policy": REPORT_CSP, "x-frame-options": "SAMEORIGIN"}
    return await streamed(client, held, held.size_bytes, "text/html; charset=utf-8", headers)


async def file(request: Request) -> Response:
    """One of a job's files, as a download."""
    client, job, held = await _find(request, request.path_params["role"])
    name = f"{job.name.rpartition('/')[2][:8]}-{held.filename or held.role}"
    return await streamed(client, held, held.size_bytes, "application/octet-stream", as_download(name))


async def _find(request: Request, role: str) -> tuple[AsyncClient, Job, JobArtifact]:
    client = await client_of(request)
    job = await client.jobs.get(request.path_params["job"])
    for held in job.result.artifacts:
        if held.role == role:
            return client, job, held
    raise HTTPException(404, f"This job has no file {role!r}; one that has succeeded lists its files on its page.")


def as_download(name: str) -> Mapping[str, str]:
    """The headers of a file that is saved and never shown; the name is the client's, so only plain letters stay."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")
    return {"content-security-policy": FILE_CSP, "content-disposition": f'attachment; filename="{plain}"'}


async def streamed(
    client: AsyncClient, held: ArtifactLike, size_bytes: int, kind: str, headers: Mapping[str, str]
) -> Response:
    """Pass an artifact on as it comes, a message of it at a time in memory; a damaged one is broken off."""
    chunks = client.artifacts.chunks(held)
    # What is wrong at the start, such as an artifact that has lapsed, is still an answer with a status.
    first = await anext(chunks)

    async def rest() -> AsyncGenerator[bytes, None]:
        try:
            yield first
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()

    return StreamingResponse(rest(), media_type=kind, headers={**headers, "content-length": str(size_bytes)})


ROUTES: Sequence[BaseRoute] = (
    Route("/jobs/{job}/report", report),
    Route("/jobs/{job}/files/{role}", file),
)
