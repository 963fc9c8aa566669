"""What stands before every page: who may call, how much may be sent, and the headers that every answer carries.

Host          only the console's own names, so that no other name can be pointed at it (DNS rebinding)
Origin        a request that changes something has to come from a page of this console (CSRF; with the token of `pages`)
size          a body longer than its path allows is refused before it is read, or as soon as it grows too long
headers       a strict Content-Security-Policy, no framing, no sniffing, no referrer, nothing kept in caches
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console.sessions import Session, Sessions
from services.console.settings import ConsoleSettings

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": PAGE_CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
SAFE = frozenset({"GET", "HEAD"})
# Asked by load balancers and probes, under whatever address they know; they tell nothing but that the console lives.
PROBES = frozenset({"/healthz", "/readyz"})
UPLOADS = "/uploads/"
FORM_BYTES = 1 << 20


class TooLongError(Exception):
    """Raised in a handler that reads a body which turns out to be longer than allowed."""


class Guard:
    """ASGI middleware around the whole application; gives each request its session."""

    def __init__(self, app: ASGIApp, *, settings: ConsoleSettings, sessions: Sessions) -> None:
        self._app = app
        self._settings = settings
        self._sessions = sessions
        self._hosts = settings.allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a session and a limited body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sender = _with_headers(send, tls=self._settings.tls)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, sender)
            return
        session = self._sessions.read(HTTPConnection(scope))
        state = scope.setdefault("state", {})
        state["new_session"] = session is None
        state["session"] = Session.fresh() if session is None else session
        await self._app(scope, _limited(receive, self._limit(scope["path"])), sender)

    def _refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        if scope["path"] in PROBES:
            return None
        host = headers.get("host", "").lower()
        name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
        if name not in self._hosts:
            return PlainTextResponse(
                f"This console is not called {name!r}. Whoever runs it lists its names in SPARRING_CONSOLE_HOSTS.", 400
            )
        if scope["method"] not in SAFE and not _same_origin(headers, host):
            return PlainTextResponse("This request comes from another site's page, so nothing was done.", 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limit(scope["path"]):
            return PlainTextResponse(f"At most {self._limit(scope['path'])} bytes may be sent here.", 413)
        return None

    def _limit(self, path: str) -> int:
        return self._settings.upload_bytes if path.startswith(UPLOADS) else FORM_BYTES


def _same_origin(headers: Headers, host: str) -> bool:
    """Tell whether a browser says that the request comes from this very site; tools that say nothing may pass.

    The scheme is left out of the comparison, as a proxy may have taken TLS off.
    """
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    return origin is None or origin.lower().partition("://")[2] == host


def _with_headers(send: Send, *, tls: bool) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if tls:
                headers.setdefault("strict-transport-security", "max-age=31536000")
        await send(message)

    return sender


def _limited(receive: Receive, limit: int) -> Receive:
    """Count what comes in; a body without a length is cut off where it grows too long."""
    seen = 0

    async def receiver() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLongError
        return message

    return receiver
