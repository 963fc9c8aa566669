"""The application: routes, what stands before them, and what is opened and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sparring.errors import ServiceError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from services.console import jobs, login, new, overview, playground, ranking, resources, results
from services.console.clients import Clients
from services.console.guard import Guard
from services.console.pages import HERE
from services.console.problems import HANDLERS
from services.console.sessions import Sessions
from services.console.settings import ConsoleSettings

PARTS = (jobs, results, new, resources, overview, ranking, login)


def create_app(settings: ConsoleSettings) -> Starlette:
    """Make the console of one gateway; nothing is opened before the first request."""
    sessions = Sessions(settings.secret, secure=settings.tls)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await app.state.clients.close()

    app = Starlette(
        routes=[
            Route("/", home),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *(route for part in PARTS for route in part.ROUTES),
            Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
            Mount("/playground", routes=list(playground.ROUTES), name="playground"),
        ],
        middleware=[Middleware(Guard, settings=settings, sessions=sessions)],
        exception_handlers=dict(HANDLERS),
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.sessions = sessions
    app.state.clients = Clients(settings)
    # Set when the console is told to end, so that open streams of events end by themselves.
    app.state.leaving = asyncio.Event()
    app.state.leave = app.state.leaving.set
    return app


async def home(_: Request) -> Response:
    """Jobs come first."""
    return RedirectResponse("/jobs", 303)


async def healthz(_: Request) -> Response:
    """Say that the console lives, whatever the gateway does."""
    return PlainTextResponse("alive\n")


async def readyz(request: Request) -> Response:
    """Say whether the gateway answers; one that asks for a key does."""
    clients: Clients = request.app.state.clients
    client = await clients.get(None, watches=True)
    try:
        await asyncio.wait_for(client.tenant(), 3.0)
    except (ServiceError, TimeoutError) as error:
        if getattr(error, "code", "") not in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            return PlainTextResponse("the gateway does not answer\n", 503)
    return PlainTextResponse("ready\n")
