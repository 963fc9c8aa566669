"""The parts of the embedded stack that can be shown without starting all of it."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.local import LocalStack, StackError
from services.local import folder as data
from services.local.program import Program


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    made: list[Program] = []

    def make(code: str) -> Program:
        log = tmp_path / "logs" / "clock.log"
        made.append(Program("clock", ["-c", textwrap.dedent(code)], os.environ, log, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.terminate()
        one.wait(5)


def test_a_program_that_dies_is_started_again_later_and_later(program: Callable[[str], Program]) -> None:
    clock = program("print('tick', flush=True); raise SystemExit(3)")
    starts: list[float] = []
    pid, until = 0, time.monotonic() + 2.5
    while time.monotonic() < until:
        clock.tend()
        if clock.pid not in (0, pid):
            pid = clock.pid
            starts.append(time.monotonic())
        time.sleep(0.01)
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    assert len(pauses) == 2
    assert pauses == sorted(pauses)
    assert clock.deaths >= 2
    assert "tick" in clock.last_words()
    assert "ended with 3" in clock.last_words()


def test_a_program_is_left_alone_while_it_lives(program: Callable[[str], Program]) -> None:
    clock = program("import time; time.sleep(60)")
    clock.tend()
    pid = clock.pid
    for _ in range(5):
        clock.tend()
    assert clock.pid == pid
    assert clock.deaths == 0


def test_a_program_that_was_asked_to_end_is_started_again_at_once_and_has_not_died(
    program: Callable[[str], Program],
) -> None:
    clock = program("import time; time.sleep(60)")
    clock.tend()
    pid = clock.pid
    clock.terminate()
    wait_for(lambda: gone(pid))
    clock.tend()
    assert clock.pid not in {0, pid}
    assert clock.deaths == 0


def test_a_program_that_keeps_dying_waits_no_longer_than_it_is_told(program: Callable[[str], Program]) -> None:
    clock = program("raise SystemExit(3)")
    clock.longest_wait_s = 0.05
    until = time.monotonic() + 10
    while clock.deaths < 5 and time.monotonic() < until:
        clock.tend()
        time.sleep(0.01)
    assert clock.deaths >= 5


def test_a_program_that_does_not_end_is_killed_with_whatever_it_started(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    clock = program(
        f"""
        import pathlib, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        pathlib.Path({str(tmp_path / "pid")!r}).write_text(f"{{child.pid}} ")
        time.sleep(60)
        """
    )
    clock.tend()
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith(" "))
    parent, child = clock.pid, int((tmp_path / "pid").read_text())
    clock.terminate()
    clock.wait(0.3)
    wait_for(lambda: gone(parent) and gone(child))


def test_a_program_ends_with_its_parent_even_if_that_is_killed(tmp_path: Path) -> None:
    code = f"""
    import os, pathlib, time
    from services.local.program import Program
    log = pathlib.Path({str(tmp_path / "log")!r})
    clock = Program("clock", ["-c", "import time; time.sleep(60)"], os.environ, log, log.parent)
    clock.tend()
    print(clock.pid, flush=True)
    time.sleep(60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    # The tether asks for the signal before it becomes the program: by then its command line is the program's.
    wait_for(lambda: psutil.Process(child).cmdline()[1:2] == ["-c"])
    parent.kill()
    parent.wait()
    wait_for(lambda: gone(child))


def test_two_stacks_can_not_share_a_folder(tmp_path: Path) -> None:
    with data.held(tmp_path), pytest.raises(StackError, match="another stack uses"), data.held(tmp_path):
        pass
    with data.held(tmp_path):
        pass


def test_a_folder_that_can_not_be_made_is_refused_politely(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="choose another folder"):
        LocalStack(data_dir=tmp_path / "file" / "below").start()


def test_a_port_that_is_taken_is_refused_politely(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} .* is taken"):
            LocalStack(data_dir=tmp_path, port=port).start()
    with data.held(tmp_path):
        """The refused stack let go of the folder."""


def test_secrets_are_made_once_and_are_the_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "redis-password"
    first = data.secret(path)
    assert len(first) >= 32
    assert data.secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_default_folder_follows_the_desktop_s_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/elsewhere")
    assert data.default_folder() == Path("/elsewhere/sparring")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data.default_folder() == Path.home() / ".local" / "share" / "sparring"


def test_no_program_outlives_these_tests() -> None:
    children = psutil.Process().children(recursive=True)
    assert [child for child in children if "time.sleep(60)" in " ".join(child.cmdline())] == []
    assert signal.getsignal(signal.SIGTERM) is not None
