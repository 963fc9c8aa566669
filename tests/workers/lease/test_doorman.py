"""The doorman: no previewer before a preview, one at a time, another after a crash, none left behind."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.jobs import functions
from services.jobs.record import WorkerRecord
from workers.lease.doorman import Doorman

# Stands in for a previewer: writes what it was given, then does as the task says.
SCRIPT = """
import sys, time
from services.jobs.previews import Posted
posted = Posted.read(sys.stdin.buffer)
with open(sys.argv[1], "a") as file:
    file.write(f"{posted.task.decode()} {sys.argv[2]}\\n")
if posted.task == b"crash":
    sys.exit(3)
if posted.task == b"stay":
    sys.stdin.buffer.read()
"""
PATIENCE_S = 30


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def doorman(job_store, store_settings, notes) -> Iterator[Doorman]:
    job_store.announce(WorkerRecord(id="w", lane="cpu", device_name="", unit=None, last_seen_ms=0), 1e9)
    made = Doorman(store_settings, (sys.executable, "-c", SCRIPT, str(notes)))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def ask(redis) -> Callable[[str], None]:
    def send(name: str) -> None:
        arguments = (name, "default", name.encode(), 60_000, 8)
        assert redis.fcall(functions.name("preview_ask"), 1, "{sparring}:fence", *arguments) == b"OK"

    return send


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def told(notes: Path) -> list[str]:
    return [line.split()[0] for line in notes.read_text().splitlines()] if notes.exists() else []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_nothing_runs_until_the_first_preview_and_a_crash_is_followed_by_another(doorman, ask, notes) -> None:
    assert doorman.previewer == 0
    for name in ("crash", "ends"):
        ask(name)
        until(lambda name=name: told(notes)[-1:] == [name])
    until(lambda: doorman.previewer == 0)
    assert len({line.split()[1] for line in notes.read_text().splitlines()}) == 1, "it keeps its name"


def test_while_a_previewer_runs_the_doorman_takes_no_other_task(doorman, ask, notes, redis) -> None:
    ask("stay")
    until(lambda: told(notes) == ["stay"])
    ask("waits")
    time.sleep(0.5)
    assert redis.llen("{sparring}:previews:asleep") == 1
    pid = doorman.previewer
    assert alive(pid)
    doorman.stop()
    assert not alive(pid)
    assert redis.llen("{sparring}:previews:asleep") == 1


def test_a_previewer_that_dies_is_counted_no_more(doorman, ask, notes, redis) -> None:
    ask("stay")
    until(lambda: told(notes) == ["stay"])
    name = notes.read_text().split()[1]
    redis.fcall(functions.name("preview_listen"), 1, "{sparring}:fence", name, 15_000)
    os.kill(doorman.previewer, 9)
    until(lambda: redis.zscore("{sparring}:previewers", name) is None)


def test_a_command_that_is_not_there_leaves_the_doorman_at_his_door(job_store, store_settings, redis, ask) -> None:
    job_store.announce(WorkerRecord(id="w", lane="cpu", device_name="", unit=None, last_seen_ms=0), 1e9)
    lost = Doorman(store_settings, ("/no/such/program",))
    lost.start()
    for name in ("one", "two"):
        ask(name)
        until(lambda: redis.llen("{sparring}:previews:asleep") == 0)
    lost.stop()
