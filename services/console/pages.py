"""What every page uses: rendering, the check of changing requests, and the pages that say what went wrong.

    async def show(request: Request) -> Response:
        client = await client_of(request)
        return render(request, "thing.html", thing=await client.models.get("it"))

    @changing                                   # refuses a request without this session's CSRF token
    async def remove(request: Request) -> Response: ...

A template extends `base.html`, which has the token in `<meta name="csrf-token">`: scripts send it as `X-CSRF-Token`,
forms as the field `csrf_token` (`{{ csrf_field() }}`). Scripts and styles are files in `static`: the
Content-Security-Policy allows nothing inline.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from services.console import words
from services.console.sessions import Sessions

HERE = Path(__file__).parent
Handler = Callable[[Request], Awaitable[Response]]
# Path, words in the navigation.
NAVIGATION = (
    ("/jobs", "Jobs"),
    ("/new", "New job"),
    ("/playground", "Playground"),
    ("/models", "Models"),
    ("/datasets", "Datasets"),
    ("/compare", "Compare"),
    ("/leaderboard", "Leaderboard"),
    ("/catalog", "Catalog"),
    ("/workers", "Workers"),
    ("/account", "Account"),
)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words.FILTERS)
    environment.globals["navigation"] = NAVIGATION
    return environment


ENVIRONMENT = _environment()


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """Render a page for whoever asks; a new session's cookie goes with it."""
    session = request.state.session
    sessions: Sessions = request.app.state.sessions
    token = sessions.csrf_token(session)
    page = ENVIRONMENT.get_template(template).render(
        request=request,
        path=request.url.path,
        csrf_token=token,
        csrf_field=lambda: Markup('<input type="hidden" name="csrf_token" value="{}">').format(token),
        logged_in=session.key is not None,
        **context,
    )
    response = HTMLResponse(page, status)
    if request.state.new_session:
        sessions.write(response, session)
    return response


def changing(handler: Handler, *, files: int = 0) -> Handler:
    """Let a request through only with the token of its session, in the header or in the form.

    A form is read here, before the handler asks for it, with at most so many files.
    """

    @functools.wraps(handler)
    async def checked(request: Request) -> Response:
        token = request.headers.get("x-csrf-token")
        if _is_form(request):
            form = await request.form(max_files=files)
            token = str(form.get("csrf_token", "")) if token is None else token
        sessions: Sessions = request.app.state.sessions
        if request.state.new_session or token is None or not sessions.csrf_holds(request.state.session, token):
            raise HTTPException(403, "This page is too old, or not of this console: load it again and try once more.")
        return await handler(request)

    return checked


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in {"application/x-www-form-urlencoded", "multipart/form-data"}


def wants_json(request: Request) -> bool:
    """Tell whether a script asks, which can read no page."""
    return "text/html" not in request.headers.get("accept", "text/html")


def problem(request: Request, status: int, title: str, message: str, **more: Any) -> Response:
    """Say what went wrong: a page for people, JSON for scripts."""
    if wants_json(request):
        return JSONResponse({"error": {"title": title, "message": message, **more}}, status)
    return render(request, "problem.html", status=status, title=title, message=message, **more)
