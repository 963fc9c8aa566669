"""From an error of the gateway's client, or of the web, to a page or JSON that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from sparring import errors
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from services.console.clients import LogInFirstError
from services.console.guard import HEADERS, TooLongError
from services.console.pages import problem, wants_json

TITLES: Mapping[str, tuple[int, str]] = {
    "INVALID_ARGUMENT": (400, "That can't be right"),
    "NOT_FOUND": (404, "Not there"),
    "ALREADY_EXISTS": (409, "The name is taken"),
    "FAILED_PRECONDITION": (409, "Not in this state"),
    "ABORTED": (409, "It has changed meanwhile"),
    "OUT_OF_RANGE": (400, "Beyond the end"),
    "PERMISSION_DENIED": (403, "Your key does not allow this"),
    "RESOURCE_EXHAUSTED": (429, "No room"),
    "UNAVAILABLE": (503, "The service does not answer"),
    "DEADLINE_EXCEEDED": (504, "The service took too long"),
}


def of_service(request: Request, error: Exception) -> Response:
    """Say what the gateway's client raised."""
    assert isinstance(error, errors.ServiceError)
    if isinstance(error, errors.Unauthenticated):
        return to_log_in(request, error)
    status, title = TITLES.get(error.code, (502, "The service could not do that"))
    fields = [{"field": bad.field, "description": bad.description} for bad in error.violations]
    return problem(request, status, title, error.message, reason=error.reason, fields=fields)


def to_log_in(request: Request, _: Exception) -> Response:
    """Ask for a key, and come back to the page that wanted one."""
    if wants_json(request) or request.method != "GET":
        return problem(request, 401, "Log in first", "This page's key is missing or has ended: log in again.")
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)


def of_web(request: Request, error: Exception) -> Response:
    """Say what Starlette raised: no such page, a wrong method, a refusal of our own."""
    assert isinstance(error, HTTPException)
    titles = {404: "There is no such page", 403: "Refused", 405: "Not this way"}
    title = titles.get(error.status_code, "That did not work")
    return problem(request, error.status_code, title, error.detail)


def too_long(request: Request, _: Exception) -> Response:
    """Say that a body was too long."""
    return problem(request, 413, "Too large", "More was sent than this page takes.")


def of_ours(_: Request, __: Exception) -> Response:
    """Say that the console is at fault; the log has the rest. It comes from outside the guard, so it brings headers."""
    words = "A fault of the console: it is in the console's log. Your jobs are not touched by it."
    return PlainTextResponse(words, 500, headers=HEADERS)


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Response]] = {
    errors.ServiceError: of_service,
    LogInFirstError: to_log_in,
    HTTPException: of_web,
    TooLongError: too_long,
    Exception: of_ours,
}
