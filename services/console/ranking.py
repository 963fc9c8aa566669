"""Models side by side: jobs compared on the same samples, and a leaderboard over all of them."""

from __future__ import annotations

from asyncio import gather, to_thread
from collections.abc import Mapping, Sequence
from typing import Any

import sparring
from sparring import AsyncClient, Comparison
from sparring.comparison import Line
from sparring.errors import InvalidArgument, ServiceError
from sparring.standings import boards
from sparring.v1.jobs_pb2 import Job
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.console import told, words
from services.console.clients import CALL_TIMEOUT_S, client_of
from services.console.pages import render

MOST_JOBS = 100
MOST_COMPARED = 16


async def compare(request: Request) -> Response:
    """Choose jobs; `?job=...&job=...&baseline=...` compares them."""
    client = await client_of(request)
    chosen = request.query_params.getlist("job")[:MOST_COMPARED]
    baseline = request.query_params.get("baseline", "")
    found, wrong = None, ""
    if chosen:
        try:
            found = await to_thread(_compared, request, chosen, baseline)
        except InvalidArgument as error:
            wrong = "; ".join(bad.description for bad in error.violations) or error.message
        except ServiceError as error:
            wrong = error.message
    jobs = await _judged(client)
    context = {"jobs": jobs, "chosen": chosen, "baseline": baseline, "found": found, "wrong": wrong, "told": told}
    context["apart"] = apart
    return render(request, "compare.html", status=400 if wrong else 200, **context)


def _compared(request: Request, jobs: Sequence[str], baseline: str) -> Comparison:
    """Compare with a blocking client of its own: what is read is verdicts of every sample."""
    settings, key = request.app.state.settings, request.state.session.key
    with sparring.connect(settings.server, key=key, tls_ca=settings.ca_file, timeout_s=CALL_TIMEOUT_S) as client:
        return sparring.compare(client, jobs, baseline=baseline)


def apart(line: Line, lines: Sequence[Line]) -> str:
    """What tells a line from others of the same attack, radius and norm: `steps 40, restarts 2`."""
    alike = [one for one in lines if (one.attack, one.epsilon, one.norm, one.curve) == _of(line)]
    own, others = _parameters(line), [_parameters(one) for one in alike]
    differing = [name for name in own if any(other.get(name) != own[name] for other in others)]
    return ", ".join(f"{words.sentence(name)} {own[name]}" for name in differing)


def _of(line: Line) -> tuple[str, float, str, bool]:
    return line.attack, line.epsilon, line.norm, line.curve


def _parameters(line: Line) -> Mapping[str, Any]:
    found: dict[str, Any] = dict(line.parameters.get(line.attack, {}))
    goal = line.parameters.get("goal", {}).get("targeted")
    return found if goal is None else {**found, "target": " ".join(f"{kind}" for kind in goal)}


async def leaderboard(request: Request) -> Response:
    """One board for each threat model and set of samples, the most robust first."""
    client = await client_of(request)
    listed = await _judged(client)
    # A list leaves the tables out.
    whole = await gather(*(client.jobs.get(job) for job in listed))
    ranked = boards((job, None) for job in whole)
    return render(request, "leaderboard.html", boards=ranked, count=len(whole), most=MOST_JOBS)


async def _judged(client: AsyncClient) -> list[Job]:
    """The newest attacks and evaluations that succeeded."""
    found: list[Job] = []
    async for job in client.jobs.list("state = SUCCEEDED", page_size=MOST_JOBS):
        if job.WhichOneof("spec") in {"attack", "evaluation"}:
            found.append(job)
        if len(found) == MOST_JOBS:
            break
    return found


ROUTES: Sequence[BaseRoute] = (
    Route("/compare", compare),
    Route("/leaderboard", leaderboard),
)
