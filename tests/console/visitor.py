"""A visitor of the console without a browser: ASGI calls, a jar of cookies, and the token of the last page."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import quote, urlencode

from services.console.app import create_app
from services.console.settings import ConsoleSettings

TOKEN = re.compile(r'name="csrf-token" content="([0-9a-f]+)"')
PAGE = {"accept": "text/html", "host": "127.0.0.1:50080"}


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self):
        return self.body.decode()


class Visitor:
    """One browser's worth of state."""

    def __init__(self, settings: ConsoleSettings):
        self.app = create_app(settings)
        self.cookies = {}
        self.token = ""
        self.set_cookies = []

    async def get(self, path, **headers):
        return await self.ask("GET", path, headers=headers)

    async def post(self, path, form=None, *, token=True, **headers):
        fields = {**({"csrf_token": self.token} if token else {}), **(form or {})}
        body = urlencode(fields, doseq=True).encode()
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return await self.ask("POST", path, body=body, headers={**kind, **headers})

    async def ask(self, method, path, *, body=b"", headers=None, until=None, seconds=20.0):
        """Call once; `until`: stop reading a stream once its text holds this."""
        given = {
            **PAGE,
            "content-length": str(len(body)),
            **{k.replace("_", "-"): v for k, v in (headers or {}).items()},
        }
        if self.cookies:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        bare, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": bare, "raw_path": quote(bare).encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 50080), "state": {},
        }  # fmt: skip
        answer, gone, sent = Answer(), asyncio.Event(), [body]

        async def receive():
            if sent:
                return {"type": "http.request", "body": sent.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                for name, value in message["headers"]:
                    answer.headers[name.decode()] = value.decode()
                    if name == b"set-cookie":
                        self.set_cookies.append(value.decode())
                        self.cookies.update({key: one.value for key, one in SimpleCookie(value.decode()).items()})
            else:
                answer.body += message.get("body", b"")
                if until is not None and until in answer.text:
                    gone.set()

        call = asyncio.ensure_future(self.app(scope, receive, send))
        ended = asyncio.ensure_future(gone.wait())
        async with asyncio.timeout(seconds):
            await asyncio.wait({call, ended}, return_when=asyncio.FIRST_COMPLETED)
        if until is not None:
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
        else:
            await call
        ended.cancel()
        found = TOKEN.search(answer.body.decode(errors="replace"))
        self.token = found[1] if found else self.token
        return answer
