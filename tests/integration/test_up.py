"""`sparring up`: the whole stack in the foreground, and what survives its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sparring.v1 import jobs_pb2

pytestmark = pytest.mark.xdist_group("stack")

CODE = "import sys; from services.local import up; up(workers=1, data_dir=sys.argv[1], port=int(sys.argv[2]))"


@contextmanager
def running(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`sparring up`, once it says that it is."""
    command = [sys.executable, "-c", CODE, str(folder), str(port)]
    environment = os.environ | {"SPARRING_LEASE_S": "4"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        assert f"127.0.0.1:{port}" in "".join(lines)
        assert str(folder) in "".join(lines)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def end(processes: list[psutil.Process]) -> None:
    """They are ending by themselves."""
    _, alive = psutil.wait_procs(processes, timeout=40)
    assert alive == []


def test_jobs_outlive_the_stack_even_where_it_is_killed(api_of, tmp_path: Path, free_port: int) -> None:
    with running(tmp_path, free_port) as first, api_of(f"127.0.0.1:{free_port}") as api:
        trained = api.run(api.training(model_id="kept"))
        waiting = api.create(api.attack("kept", api.slow(), batch_size=32, shard_size=32))
        everything = descendants(first)
        # The store, the gateway, Celery's parent, its helper and its child.
        assert len(everything) >= 5
        first.send_signal(signal.SIGKILL)
        first.wait()
        end(everything)
    with running(tmp_path, free_port) as second, api_of(f"127.0.0.1:{free_port}") as api:
        assert api.get(trained.name) == trained
        assert api.wait(waiting).state == jobs_pb2.Job.STATE_SUCCEEDED
        everything = descendants(second)
        asked = time.monotonic()
        second.send_signal(signal.SIGINT)
        assert second.wait(40) == 0
        assert time.monotonic() - asked < 30
        end(everything)
