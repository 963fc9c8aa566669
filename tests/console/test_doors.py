"""Who gets in, and what a page of another site, a guessed name or a hostile file can do: nothing."""

from __future__ import annotations

import re

import pytest
from starlette.routing import Mount, Route

from services.console.app import create_app
from services.console.guard import FORM_BYTES
from services.console.sessions import COOKIE, Session, Sessions
from services.console.settings import ConsoleSettings
from services.environment import SettingsError
from tests.console.visitor import Visitor

READ_ONLY = {"GET", "HEAD"}


def changing_routes(routes, before=""):
    for route in routes:
        if isinstance(route, Mount):
            yield from changing_routes(route.routes, before + route.path)
        elif isinstance(route, Route) and not route.methods <= READ_ONLY:
            yield before + re.sub(r"\{[^}]*\}", "attack", route.path)


async def test_every_changing_route_refuses_a_request_without_the_token(visitor):
    paths = list(changing_routes(create_app(ConsoleSettings()).routes))
    assert len(paths) >= 10
    await visitor.get("/jobs")
    for path in paths:
        assert (await visitor.post(path, token=False)).status == 403, path
        assert (await visitor.post(path, {"csrf_token": "0" * 64}, token=False)).status == 403, path
        assert (await visitor.post(path, token=False, x_csrf_token="guess")).status == 403, path


async def test_a_token_of_another_session_is_refused(visitor, gateway):
    await visitor.get("/jobs")
    other = type(visitor)(ConsoleSettings(server=gateway))
    await other.get("/jobs")
    stolen = await visitor.post("/logout", {"csrf_token": other.token}, token=False)
    assert stolen.status == 403
    assert (await visitor.post("/logout")).status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:50081"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
async def test_another_sites_page_changes_nothing_even_with_the_token(visitor, headers):
    await visitor.get("/jobs")
    assert (await visitor.post("/logout", **headers)).status == 403
    assert (await visitor.post("/logout", origin="http://127.0.0.1:50080", sec_fetch_site="same-origin")).status == 303


@pytest.mark.parametrize("host", ["evil.example", "evil.example:50080", "127.0.0.1.evil.example", "", "localhost.evil"])
async def test_a_name_that_is_not_the_consoles_is_refused(visitor, host):
    assert (await visitor.get("/jobs", host=host)).status == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:50080", "[::1]:50080", "LOCALHOST", "console.example.org"])
async def test_the_consoles_own_names_are_taken(gateway, host):
    visitor = Visitor(ConsoleSettings(server=gateway, hosts=("console.example.org",)))
    assert (await visitor.get("/new", host=host)).status == 200


async def test_a_long_body_is_refused_by_its_length_and_by_its_bytes(visitor):
    await visitor.get("/jobs")
    long = {"x": "y" * (FORM_BYTES + 1)}
    assert (await visitor.post("/logout", long)).status == 413
    assert (await visitor.post("/logout", long, content_length="10")).status == 413
    assert (await visitor.get("/jobs", content_length="-1")).status == 413


async def test_without_a_key_every_page_asks_for_one_and_comes_back(stranger, keyed):
    sent = await stranger.get("/jobs?state=running")
    assert sent.status == 303
    assert sent.headers["location"] == "/login?next=%2Fjobs%3Fstate%3Drunning"
    page = await stranger.get(sent.headers["location"])
    assert 'value="/jobs?state=running"' in page.text
    logged = await stranger.post("/login", {"key": keyed.keys["submit"], "next": "/jobs?state=running"})
    assert logged.headers["location"] == "/jobs?state=running"
    inside = await stranger.get("/account")
    assert "lab" in inside.text
    assert "submit" in inside.text
    assert "Log out" in inside.text
    await stranger.post("/logout")
    assert (await stranger.get("/account")).status == 303
    assert "UNAUTHENTICATED" in (await stranger.get("/jobs/x/events", accept="text/event-stream")).text


async def test_the_key_is_in_no_page_address_header_or_log(stranger, keyed, caplog):
    key = keyed.keys["admin"]
    await stranger.get("/login")
    answers = [await stranger.post("/login", {"key": key})]
    answers += [await stranger.get(path) for path in ("/jobs", "/account", "/workers", "/login")]
    for answer in answers:
        assert key not in answer.text
        assert key not in str(answer.headers)
    assert key not in caplog.text
    assert key not in repr(stranger.app.state.settings)
    assert key not in stranger.cookies[COOKIE]
    cookie = stranger.set_cookies[-1].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


async def test_a_wrong_key_is_refused_and_not_shown(stranger):
    await stranger.get("/login")
    for wrong in ("nonsense", "sk_" + "a" * 40, "with space", "ümlaut", ""):
        answer = await stranger.post("/login", {"key": wrong})
        assert answer.status == 401
        assert 'role="alert"' in answer.text
        assert not wrong or f'value="{wrong}"' not in answer.text


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
async def test_a_log_in_leads_to_no_other_site(stranger, keyed, target):
    await stranger.get("/login")
    answer = await stranger.post("/login", {"key": keyed.keys["read"], "next": target})
    assert answer.headers["location"] == "/jobs"


async def test_a_reader_sees_and_changes_nothing(stranger, keyed):
    await stranger.get("/login")
    await stranger.post("/login", {"key": keyed.keys["read"]})
    await stranger.get("/new/attack")
    refused = await stranger.post("/new/attack", {"model": "m", "dataset": "mnist10k", "method": "fgsm"})
    assert refused.status == 403
    assert "Your key does not allow this" in refused.text
    assert "Audit log" not in (await stranger.get("/account")).text


async def test_a_cookie_of_another_secret_is_nobodys(stranger, keyed):
    forged = Sessions("x" * 32, secure=False)

    class Jar:
        def set_cookie(self, name, value, **_):
            stranger.cookies[name] = value

    forged.write(Jar(), Session.fresh(keyed.keys["admin"]))
    assert (await stranger.get("/account")).status == 303


async def test_beyond_this_machine_a_gateway_without_keys_lends_nobody_its_trust(gateway):
    settings = ConsoleSettings(server=gateway, listen="0.0.0.0:50080", cert_file="c", key_file="k")
    visitor = Visitor(settings)
    assert (await visitor.get("/jobs")).headers["location"].startswith("/login")
    await visitor.get("/login")
    answer = await visitor.post("/login", {"key": "sk_whatever"})
    assert answer.status == 401
    assert "secure" in visitor.set_cookies[-1].lower()


def test_beyond_this_machine_the_console_wants_tls():
    environ = {"SPARRING_CONSOLE_LISTEN": "0.0.0.0:50080"}
    with pytest.raises(SettingsError, match="there is no TLS"):
        ConsoleSettings.from_env(environ)
    assert ConsoleSettings.from_env({**environ, "SPARRING_INSECURE": "1"}).insecure
    assert ConsoleSettings.from_env({}).local
