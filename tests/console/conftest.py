"""A console before a gateway in the test's own event loop, and a whole stack with a browser before it."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest
import sparring
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from sparring.v1 import models_pb2

from services.console.settings import ConsoleSettings
from services.gateway.options import Options
from services.gateway.server import Gateway
from services.jobs.record import Registration
from services.local import LocalStack
from services.settings import GatewaySettings
from services.tenants.keys import hash_key, new_key
from tests.console.visitor import Visitor
from tools import browser as chromium

# Machines of other people are slow.
PATIENCE_MS = 60_000
MUST_RUN = "SPARRING_BROWSER_MUST_RUN"


@pytest.fixture
async def gateway(job_store, store_settings) -> AsyncIterator[str]:
    """The address of a gateway that asks for no key."""
    running = Gateway(GatewaySettings(store_settings, listen="127.0.0.1:0", max_samples=5000), Options(drain_s=0))
    yield await running.start()
    await running.stop()


@pytest.fixture
async def visitor(gateway) -> AsyncIterator[Visitor]:
    """Somebody who looks at its console."""
    one = Visitor(ConsoleSettings(server=gateway))
    yield one
    await one.app.state.clients.close()


@pytest.fixture
def model(job_store) -> str:
    """The id of a model that is READY and that nobody will ask: Wong's net for 28x28 digits."""
    record = models_pb2.Model(
        name="models/m",
        state=models_pb2.Model.STATE_READY,
        weights=f"artifacts/{'a' * 64}",
        signature=models_pb2.ModelSignature(architecture="wong_cnn", input_shape=[1, 28, 28], classes=10),
    )
    job_store.register("default", Registration(kind="model", id="m", record=record.SerializeToString()))
    return "m"


@dataclass
class Keyed:
    """A gateway that asks for keys: its address, and a key of each role."""

    address: str
    keys: dict[str, str] = field(default_factory=dict)


@pytest.fixture
async def keyed(job_store, store_settings, tmp_path) -> AsyncIterator[Keyed]:
    """A gateway with one tenant."""
    found = Keyed("")
    lines = ["[tenants.lab]"]
    for role in ("read", "submit", "admin"):
        found.keys[role] = new_key(role)
        lines += [
            "[[tenants.lab.keys]]",
            f'id = "{role}"',
            f'sha256 = "{hash_key(found.keys[role])}"',
            f'role = "{role}"',
        ]
    path = tmp_path / "tenants.toml"
    path.write_text("\n".join(lines) + "\n")
    settings = GatewaySettings(store_settings, listen="127.0.0.1:0", tenants_file=str(path))
    running = Gateway(settings, Options(drain_s=0))
    found.address = await running.start()
    yield found
    await running.stop()


@pytest.fixture
async def stranger(keyed) -> AsyncIterator[Visitor]:
    """Somebody without a key at a console whose gateway asks for one."""
    one = Visitor(ConsoleSettings(server=keyed.address))
    yield one
    await one.app.state.clients.close()


# With a browser.


@pytest.fixture(scope="session")
def console_stack(tmp_path_factory) -> Iterator[LocalStack]:
    """A stack of one worker with its console, shared by every test of this folder that has a browser."""
    _browser_path()
    with LocalStack(
        1, tmp_path_factory.mktemp("console"), console=True, environment={"OMP_NUM_THREADS": "1"}
    ) as running:
        yield running


@pytest.fixture(scope="session")
def trained(console_stack) -> str:
    """The id of a model that has learned a little: one epoch on 1,500 digits."""
    with sparring.connect(console_stack.target) as client:
        job = client.train("mnist10k", architecture="wong_cnn", model_id="little", epochs=1, count=1500)
        client.jobs.wait(job, check=True)
    return "little"


def _browser_path() -> str:
    """Where Chromium is; without one, tests skip, or fail where they must run."""
    path = chromium.find()
    if path is None:
        reason = f"no Chromium on this machine: looked for {', '.join(chromium.BROWSERS)}"
        if os.environ.get(MUST_RUN) == "1":
            pytest.fail(f"{MUST_RUN} is set, and there is {reason}")
        pytest.skip(reason)
    return path


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """A headless Chromium. It ends with its module, as it keeps an event loop while it lives."""
    path = _browser_path()
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield running
        running.close()


class Complaints(list):
    """What a page has complained of in its console. `expected`: parts of complaints that a test means to cause."""

    def __init__(self):
        super().__init__()
        self.expected = []

    def unexpected(self):
        return [text for text in self if not any(part in text for part in self.expected)]


@pytest.fixture
def complaints() -> Complaints:
    """The complaints of this test's pages; the test fails where there are unexpected ones."""
    return Complaints()


@pytest.fixture
def open_page(chrome, console_stack, complaints) -> Iterator[Callable[..., Page]]:
    """Open pages of the stack's console by their path, each in a browser context of its own."""
    contexts = []

    def listen(message: ConsoleMessage):
        if message.type in {"error", "warning"}:
            complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def opened(path: str, *, width: int = 1280, base: str | None = None, **options) -> Page:
        context = chrome.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.goto(f"{console_stack.console if base is None else base}{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints.unexpected() == []


@pytest.fixture
def eventually():
    """Wait until a check holds."""

    def wait(check, seconds=60.0):
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.05)

    return wait
