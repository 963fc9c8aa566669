"""The gateway's clients, one or two for each key, kept open between requests."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import sparring
from sparring import AsyncClient
from starlette.requests import HTTPConnection

from services.console.settings import ConsoleSettings

MOST_CLIENTS = 64
CALL_TIMEOUT_S = 10.0
PATIENCE_S = 30.0
# A page under which the gateway goes away is told so within seconds, and the console looks again.
WATCH_TIMEOUT_S, WATCH_PATIENCE_S = 2.0, 0.0


class Clients:
    """Connections to one gateway, at most MOST_CLIENTS; the one that was not used for longest is closed first."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings
        self._open: OrderedDict[tuple[str, bool], AsyncClient] = OrderedDict()

    def make(self, key: str | None, *, watches: bool = False) -> AsyncClient:
        """Make a client that is not kept; the caller closes it. InvalidArgument: a text that can't be a key."""
        return sparring.connect_async(
            self._settings.server,
            key=key,
            tls_ca=self._settings.ca_file,
            timeout_s=WATCH_TIMEOUT_S if watches else CALL_TIMEOUT_S,
            patience_s=WATCH_PATIENCE_S if watches else PATIENCE_S,
        )

    async def get(self, key: str | None, *, watches: bool = False) -> AsyncClient:
        """Return the client of a key, None for no key; one that watches gives up soon, see `watcher_of`."""
        # The digest and not the key: what is kept here may be printed by a debugger or a crash report.
        name = ("" if key is None else hashlib.sha256(key.encode()).hexdigest(), watches)
        if name not in self._open:
            self._open[name] = self.make(key, watches=watches)
        self._open.move_to_end(name)
        while len(self._open) > MOST_CLIENTS:
            _, oldest = self._open.popitem(last=False)
            await oldest.close()
        return self._open[name]

    async def close(self) -> None:
        """Close all of them."""
        while self._open:
            await self._open.popitem()[1].close()


class LogInFirstError(Exception):
    """Raised where a page needs a key and the browser has given none."""


async def client_of(connection: HTTPConnection) -> AsyncClient:
    """Return the client of whoever is at the browser. LogInFirstError: a key is needed, and there is none."""
    return await _client(connection, watches=False)


async def watcher_of(connection: HTTPConnection) -> AsyncClient:
    """As `client_of`, for streams of events: it raises soon where the gateway goes away, so that the page is told."""
    return await _client(connection, watches=True)


async def _client(connection: HTTPConnection, *, watches: bool) -> AsyncClient:
    state = connection.app.state
    key = connection.state.session.key
    if key is None and state.settings.needs_key:
        raise LogInFirstError
    clients: Clients = state.clients
    return await clients.get(key, watches=watches)
