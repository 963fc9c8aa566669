"""The parent's watch: it reads what a dead child held, tells the store how it ended, and kills one that hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.jobs.states import State
from workers.lease import Drain, Holding, Watch, watch

FOREVER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(FOREVER) as process:
        yield process
        process.kill()


@pytest.fixture
def holding(tmp_path: Path) -> Holding:
    return Holding.beside(Drain(tmp_path / "drain"))


@pytest.fixture
def watching(bench, holding: Holding) -> Watch:
    """A watch that is patient."""
    return Watch(bench.store, holding, bench.drain, hung_s=1000)


def hold(bench, holding: Holding, pid: int, **changes: object):
    """Claim the job's unit as the child of this process id would."""
    lease = bench.store.claim(f"claim {time.monotonic_ns()}", "w", "cpu", 600_000)
    note = {"pid": pid, "worker": "w", "job_id": lease.job_id, "unit": lease.unit, "token": lease.token}
    holding.path.write_text(json.dumps(note | changes))
    return lease


def end(child: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    child.send_signal(number)
    child.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_death_is_told_with_its_signal(bench, holding, watching, child, number) -> None:
    bench.submit(units=1)
    hold(bench, holding, child.pid)
    watching.follow(child)
    watching._look()
    assert bench.causes() == []
    end(child, number)
    watching._look()
    assert bench.causes() == [f"killed by {number.name}"]
    assert holding.read() is None
    watching._look()
    assert len(bench.causes()) == 1


def test_a_stale_note_does_not_take_the_unit_from_who_holds_it_now(bench, holding, watching, child) -> None:
    bench.submit(units=1)
    stale = hold(bench, holding, child.pid)
    bench.store.release(stale, "w")
    note = holding.path.read_text()
    live = hold(bench, holding, os.getpid())
    holding.path.write_text(note)
    watching.follow(child)
    end(child)
    watching._look()
    assert bench.causes() == []
    bench.store.commit(live, "w", "digest", {})


def test_the_note_of_another_process_is_left_alone(bench, holding, watching, child) -> None:
    bench.submit(units=1)
    hold(bench, holding, os.getpid())
    watching.follow(child)
    end(child)
    watching._look()
    assert bench.causes() == []
    assert holding.read() is not None


@pytest.mark.parametrize("note", ["", "{", "[]", '{"pid": 1}', "null"])
def test_a_note_that_can_not_be_read_is_no_note(bench, holding, watching, child, note: str) -> None:
    holding.path.write_text(note)
    watching.follow(child)
    end(child)
    watching._look()
    assert holding.read() is None


def test_a_store_that_is_away_is_no_reason_to_die(bench, holding, child, flaky) -> None:
    bench.submit(units=1)
    hold(bench, holding, child.pid)
    lookout = Watch(flaky, holding, bench.drain, hung_s=1000)
    lookout.follow(child)
    lookout.start()
    flaky.away = lambda: True
    end(child)
    time.sleep(3 * watch.LOOK_S)
    lookout.stop()
    assert bench.state() is State.RUNNING
    assert bench.causes() == []


def test_a_child_that_is_not_heard_of_is_killed(bench, lab, holding, child) -> None:
    bench.submit(units=1)
    hold(bench, holding, child.pid)
    lookout = Watch(bench.store, holding, bench.drain, hung_s=0.5)
    lookout.follow(child)
    lookout.start()
    lab.wait_for(lambda: child.poll() is not None)
    assert child.returncode == -signal.SIGKILL
    lab.wait_for(lambda: bench.causes() != [])
    lookout.stop()
    assert bench.causes() == ["hung for 0.5 s, then killed by its worker"]


def test_a_child_that_is_heard_of_lives(bench, holding, child) -> None:
    bench.submit(units=1)
    hold(bench, holding, child.pid)
    lookout = Watch(bench.store, holding, bench.drain, hung_s=0.5)
    lookout.follow(child)
    lookout.start()
    for _ in range(15):
        os.utime(holding.path)
        time.sleep(0.1)
    assert child.poll() is None
    lookout.stop()


def test_nobody_is_killed_for_a_note_that_names_a_stranger(bench, holding, child) -> None:
    bench.submit(units=1)
    hold(bench, holding, child.pid)
    lookout = Watch(bench.store, holding, bench.drain, hung_s=0.1)
    for _ in range(3):
        lookout._look()
        time.sleep(0.1)
    assert child.poll() is None


def test_the_kernel_s_count_of_those_it_killed_is_believed(
    bench, holding, child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 4\noom_kill 3\noom_group_kill 0\n")
    monkeypatch.setattr(watch, "OOM_COUNTERS", (tmp_path / "not there", events))
    bench.submit(units=1)
    lookout = Watch(bench.store, holding, bench.drain, hung_s=1000)
    hold(bench, holding, child.pid)
    lookout.follow(child)
    events.write_text("oom_kill 4\n")
    end(child)
    lookout._look()
    assert bench.causes() == ["killed by SIGKILL (out of memory)"]


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (75, "exited with status 75"),
        (0, "exited with status 0"),
        (-9, "killed by SIGKILL"),
        (-62, "killed by signal 62"),
    ],
)
def test_how_a_child_ended_in_words(code: int, cause: str) -> None:
    assert watch.cause_of(code) == cause
