"""Lines of the log: what they are about, and what never stands in one."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from services.telemetry import logs
from services.telemetry.redaction import HIDDEN, MOST
from services.tenants.keys import new_key

KEY = new_key("ci")
SECRET = KEY.rpartition("_ci_")[2]
# A logger that pytest's own handlers can't find: they raise for arguments that do not fit.
ALONE = logging.Logger("alone")  # noqa: LOG001 - one that is found by its name would not do
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"


@contextmanager
def logging_to(form: str, process: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Configure this process; what that gives returns the lines so far."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(form, process)
    ALONE.handlers = root.handlers[:]
    yield lambda: stream.getvalue().splitlines()
    root.handlers, root.level = before


@pytest.fixture(params=["json", "plain"])
def said(request, monkeypatch):
    """The lines so far of a log in one of the forms."""
    with logging_to(request.param, "gateway", monkeypatch) as read:
        read.form = request.param
        yield read


@pytest.fixture
def written(monkeypatch):
    """The lines of a JSON log, as objects."""
    with logging_to("json", "worker", monkeypatch) as read:
        yield lambda: [json.loads(line) for line in read()]


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """What the process says of itself is the test's."""
    monkeypatch.setattr(logs, "_own", {})


def test_a_line_says_what_it_is_about_while_it_is_about_it(written):
    logs.describe(worker="w1", lane="cpu")
    log = logging.getLogger("a.b")
    with logs.bound(job="j", unit=0, tenant="t", attempt=2, token=7, trace="4b"):
        log.warning("inside")
    log.info("outside")
    inside, outside = written()
    assert inside.items() >= {"level": "WARNING", "logger": "a.b", "message": "inside", "process": "worker"}.items()
    about = {"job": "j", "unit": 0, "tenant": "t", "attempt": 2, "token": 7, "trace": "4b"}
    assert inside.items() >= (about | {"worker": "w1", "lane": "cpu"}).items()
    assert not about.keys() & outside.keys()
    assert outside["worker"] == "w1"


async def test_concurrent_calls_do_not_mix_their_fields(written):
    async def call(number):
        logs.bind(tenant=f"t{number}")
        for _ in range(5):
            await asyncio.sleep(0)
            logging.getLogger().info("of t%d", number)

    await asyncio.gather(*(asyncio.create_task(call(number)) for number in range(8)))
    lines = written()
    assert len(lines) == 40
    assert all(line["message"] == f"of {line['tenant']}" for line in lines)
    assert logs.fields() == {}


def test_a_thread_begins_without_fields(written):
    with logs.bound(job="j"):
        thread = threading.Thread(target=logging.getLogger().info, args=["elsewhere"])
        thread.start()
        thread.join()
    assert "job" not in written()[0]


def test_a_message_with_line_breaks_is_one_line_for_machines(written):
    logging.getLogger().info("one\ntwo %s", 'three\n{"level": "ERROR"}')
    (line,) = written()
    assert line["message"] == 'one\ntwo three\n{"level": "ERROR"}'


def test_a_key_appears_nowhere_however_it_is_logged(said):
    log, error = ALONE, ValueError(f"refused {KEY}")
    error.__cause__ = RuntimeError(f"header authorization: Bearer {KEY}")
    log.error("caught with %s", KEY, exc_info=error)
    log.info(KEY)
    log.info("key=%s", KEY)
    log.info("key=%(key)s", {"key": KEY})
    log.info("%s", {"metadata": [("authorization", f"Bearer {KEY}")]})
    log.info("Bearer %s", SECRET)
    for misfit in ("no place for it", "%d", "%s and %s"):
        log.info(misfit, KEY)
    log.info("redis://gateway:%s@redis:6379/0", SECRET)
    log.info("at %r", f"rediss://:p@{SECRET}@redis:6379/0")
    log.info("%s", ("x" * (MOST - len(KEY) // 2)) + KEY)
    log.info("%s", KEY.encode())
    log.info(PEM)
    log.info("spans", stack_info=True, extra={"key": KEY})
    text = "\n".join(said())
    assert SECRET not in text
    assert SECRET[:12] not in text
    assert "MIIEow" not in text
    assert "spk_ci_" + HIDDEN in text, "whose key it was may be known"
    assert text.count(HIDDEN) >= 9
    if said.form == "json":
        assert all(json.loads(line)["logger"] == "alone" for line in said())


def test_what_only_looks_a_little_like_a_key_is_left_alone(written):
    plain = "spk_ rate of redis://127.0.0.1:6379/0 by mail@example.org, bearer of news, a@b:c"
    logging.getLogger().info(plain)
    assert written()[0]["message"] == plain


def test_tensors_and_files_are_described_and_not_shown(written):
    log = logging.getLogger()
    log.info("got %s and %s", np.full((2, 3), 0.125, dtype=np.float32), b"\x89PNG secret")
    log.info("%(x)s", {"x": np.zeros(1)})
    first, second = (line["message"] for line in written())
    assert first == "got <ndarray of shape (2, 3), float32> and <11 bytes>"
    assert second == "<ndarray of shape (1,), float64>"


def test_a_message_has_a_length_and_a_traceback_keeps_its_end(written):
    log = logging.getLogger()
    log.info("%s", "x" * 1_000_000)
    log.error("caught", exc_info=ValueError("y" * 100_000 + " the end"))
    long, caught = written()
    assert long["message"].endswith(f"... ({1_000_000 - MOST} characters more)")
    assert len(long["message"]) < MOST + 100
    assert caught["traceback"].endswith("the end")
    assert len(caught["traceback"]) < MOST + 100


def test_arguments_that_do_not_fit_cost_the_message_its_arguments_and_nothing_else(written):
    misfit = "%s and %s"
    ALONE.info(misfit, "one")
    assert written()[0]["message"] == "%s and %s (its arguments do not fit)"


def test_other_handlers_see_the_record_as_it_was_made(said, caplog):
    with caplog.at_level(logging.INFO):
        logging.getLogger("shared").info("key %s", KEY)
    assert any(record.args == (KEY,) for record in caplog.records)
    assert SECRET not in "".join(said())
