"""A fake service on a free port, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import socket
import sys
from pathlib import Path

import pytest
import sparring


def _fake():
    """The fake beside this file; test folders are no packages."""
    if "sparring_fake" not in sys.modules:
        spec = importlib.util.spec_from_file_location("sparring_fake", Path(__file__).parent / "fake" / "__init__.py")
        sys.modules["sparring_fake"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["sparring_fake"])
    return sys.modules["sparring_fake"]


@pytest.fixture
def fake():
    return _fake()


@pytest.fixture
def server(fake):
    running = fake.Server()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    """Tests wait a tenth of what users wait between retries."""
    _fake().retry_quickly(monkeypatch)


@pytest.fixture
def service(server):
    return server.service


@pytest.fixture
def client(server):
    with sparring.connect(server.target, timeout_s=10, patience_s=10) as connected:
        yield connected


@pytest.fixture
def nowhere():
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Awaited:
    """An asyncio client used from blocking tests: what is awaitable is awaited, async iterators become iterators."""

    def __init__(self, thing, loop):
        self._thing, self._loop = thing, loop

    def __getattr__(self, name):
        return Awaited(getattr(self._thing, name), self._loop)

    def __call__(self, *args, **kwargs):
        result = self._thing(*args, **kwargs)
        if inspect.isawaitable(result):
            return self._loop.run_until_complete(result)
        return self._iterate(result)

    def _iterate(self, items):
        try:
            while True:
                try:
                    yield self._loop.run_until_complete(anext(items))
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(items.aclose())


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request, server):
    """`connect(**options)`: a client of the fake service, of either kind, used in the same way."""
    with contextlib.ExitStack() as stack:
        if request.param == "blocking":
            yield lambda **options: stack.enter_context(sparring.connect(server.target, **options))
        else:
            loop = stack.enter_context(contextlib.closing(asyncio.new_event_loop()))

            async def open_client(options):
                return sparring.connect_async(server.target, **options)

            def connected(**options):
                made = loop.run_until_complete(open_client(options))
                stack.callback(lambda: loop.run_until_complete(made.close()))
                return Awaited(made, loop)

            yield connected


@pytest.fixture
def either(connect):
    """A client of either kind."""
    return connect(timeout_s=10, patience_s=10)
