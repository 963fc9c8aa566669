"""The list of jobs, and a job's page: where it stands, live; its end, another try, its removal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from sparring import AsyncClient
from sparring.resume import all_seen
from sparring.v1.jobs_pb2 import Job
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.console import results, told
from services.console.clients import client_of, watcher_of
from services.console.live import Emit, events
from services.console.pages import ENVIRONMENT, changing, render

PAGE = 25
FARTHEST_PAGE = 40
LIST_EVERY_S = 2.0
STATUS_EVERY_S = 0.4
STATES = ("queued", "running", "succeeded", "failed", "cancelling", "cancelled", "quarantined")
KINDS = ("attack", "training", "evaluation", "poisoning", "intake")


class Listing:
    """Which part of which jobs a list shows, as its address says."""

    def __init__(self, request: Request) -> None:
        asked = request.query_params
        self.state = asked.get("state", "") if asked.get("state", "") in STATES else ""
        self.kind = asked.get("kind", "") if asked.get("kind", "") in KINDS else ""
        page = asked.get("page", "1")
        self.page = min(FARTHEST_PAGE, max(1, int(page))) if page.isdecimal() else 1

    @property
    def filter(self) -> str:
        """As ListJobs takes it."""
        terms = (("state", self.state.upper()), ("kind", self.kind))
        return " AND ".join(f"{name} = {value}" for name, value in terms if value)

    async def read(self, client: AsyncClient) -> tuple[list[Job], bool]:
        """Return the jobs of this page, and whether there is another one after it."""
        first, last = (self.page - 1) * PAGE, self.page * PAGE
        found: list[Job] = []
        async for job in client.jobs.list(self.filter, page_size=min(1000, last + 1)):
            found.append(job)
            if len(found) > last:
                break
        return found[first:last], len(found) > last


async def show_list(request: Request) -> Response:
    """The list; `?state=running&kind=attack&page=2`."""
    listing = Listing(request)
    jobs, more = await listing.read(await client_of(request))
    return render(request, "jobs.html", listing=listing, jobs=jobs, more=more, told=told, states=STATES, kinds=KINDS)


async def list_events(request: Request) -> Response:
    """The rows of the list whenever they change; no RPC watches a list, so it is read every two seconds."""
    listing = Listing(request)
    client = await watcher_of(request)
    rows = ENVIRONMENT.get_template("job_rows.html")

    async def produce(emit: Emit) -> None:
        before = None
        while True:
            jobs, _ = await listing.read(client)
            now = rows.render(jobs=jobs, told=told)
            if now != before:
                await emit("status", {"rows": now}, None)
            before = now
            await asyncio.sleep(LIST_EVERY_S)

    return events(request, produce)


async def show(request: Request) -> Response:
    """One job."""
    client = await client_of(request)
    job = await client.jobs.get(request.path_params["job"])
    return render(request, "job.html", **await _context(client, job))


async def show_result(request: Request) -> Response:
    """The part of the page that comes when a job has ended."""
    client = await client_of(request)
    job = await client.jobs.get(request.path_params["job"])
    return render(request, "job_result.html", **await _context(client, job))


async def _context(client: AsyncClient, job: Job) -> dict[str, Any]:
    return {
        "job": job,
        "told": told,
        "ended": job.state in told.ENDED,
        "may_retry": job.state in told.RETRIED,
        "spec": list(told.parameters(getattr(job, str(job.WhichOneof("spec"))))),
        "manifest": await results.manifest(client, job),
        "rows": results.rows(job),
        "checklist": results.checklist(job),
    }


async def job_events(request: Request) -> Response:
    """A job's numbered events after Last-Event-ID, and how it stands, until it has ended and all were sent."""
    client = await watcher_of(request)
    name = request.path_params["job"]
    last = max(_whole(request.headers.get("last-event-id")), _whole(request.query_params.get("after")))

    async def produce(emit: Emit) -> None:
        nonlocal last
        job = await client.jobs.get(name)
        await _status(emit, job)
        last = min(last, job.last_event_id)
        shown = time.monotonic()
        while True:
            asked_after = last
            async with aclosing(client.jobs.watch(name, after=last, heartbeats=True)) as stream:
                async for happened in stream:
                    if happened.WhichOneof("event") != "heartbeat":
                        last = happened.event_id
                        await emit("log", told.event(happened), last)
                    if time.monotonic() - shown >= STATUS_EVERY_S:
                        shown = time.monotonic()
                        await _status(emit, await client.jobs.get(name))
            job = await client.jobs.get(name)
            # A job that was retried has an end in the middle of its events, too.
            if all_seen(job, last, asked_after):
                break
        await _status(emit, job)
        await emit("end", {}, None)

    return events(request, produce)


async def _status(emit: Emit, job: Job) -> None:
    page = ENVIRONMENT.get_template("job_status.html").render(job=job, told=told)
    await emit("status", {"html": page, "ended": job.state in told.ENDED, "last": job.last_event_id}, None)


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 18 else 0


@changing
async def cancel(request: Request) -> Response:
    """Ask for the job's end."""
    job = await (await client_of(request)).jobs.cancel(request.path_params["job"])
    return RedirectResponse(f"/{job.name}", 303)


@changing
async def retry(request: Request) -> Response:
    """Queue it again."""
    job = await (await client_of(request)).jobs.retry(request.path_params["job"])
    return RedirectResponse(f"/{job.name}", 303)


@changing
async def delete(request: Request) -> Response:
    """Forget it."""
    await (await client_of(request)).jobs.delete(request.path_params["job"])
    return RedirectResponse("/jobs", 303)


ROUTES: Sequence[BaseRoute] = (
    Route("/jobs", show_list),
    Route("/jobs/events", list_events),
    Route("/jobs/{job}", show),
    Route("/jobs/{job}/events", job_events),
    Route("/jobs/{job}/result", show_result),
    Route("/jobs/{job}/cancel", cancel, methods=["POST"]),
    Route("/jobs/{job}/retry", retry, methods=["POST"]),
    Route("/jobs/{job}/delete", delete, methods=["POST"]),
)
