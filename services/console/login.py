"""Log-in by a key of the service, and log-out. The key is in the form and in the cookie, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from sparring.errors import InvalidArgument, ServiceError, Unauthenticated
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.console.clients import Clients
from services.console.pages import changing, render
from services.console.sessions import Session, Sessions


def _next(text: str) -> str:
    """Where to go after the log-in: a path of this console, never another site."""
    parts = urlsplit(text)
    here = text.startswith("/") and not text.startswith("//") and "\\" not in text and not parts.netloc
    return text if here and text.isprintable() else "/jobs"


async def show(request: Request) -> Response:
    """The form."""
    return render(request, "login.html", next=_next(request.query_params.get("next", "")), wrong="")


@changing
async def log_in(request: Request) -> Response:
    """Check the key by a cheap call, and keep it in the cookie of a new session."""
    form = await request.form()
    key, target = str(form.get("key", "")).strip(), _next(str(form.get("next", "")))
    wrong = await _wrong(request, key)
    if wrong:
        return render(request, "login.html", status=401, next=target, wrong=wrong)
    response = RedirectResponse(target, 303)
    sessions: Sessions = request.app.state.sessions
    sessions.write(response, Session.fresh(key))
    return response


async def _wrong(request: Request, key: str) -> str:
    """What is wrong with a key; empty for one that the service takes. Never the key itself."""
    clients: Clients = request.app.state.clients
    if not key:
        return "Give a key."
    try:
        async with clients.make(key) as client:
            tenant = await client.tenant()
    except InvalidArgument as error:
        return "; ".join(bad.description for bad in error.violations)
    except Unauthenticated:
        return "The service does not know this key, or it has ended."
    except ServiceError as error:
        return error.message
    if not tenant.key and request.app.state.settings.needs_key:
        return (
            "The service asks nobody for a key, so it can't tell who you are. Start it with a file of tenants, or let "
            "the console listen on this machine only."
        )
    return ""


@changing
async def log_out(request: Request) -> Response:
    """Forget the key."""
    response = RedirectResponse("/login", 303)
    sessions: Sessions = request.app.state.sessions
    sessions.write(response, Session.fresh())
    return response


ROUTES: Sequence[BaseRoute] = (
    Route("/login", show),
    Route("/login", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"]),
)
