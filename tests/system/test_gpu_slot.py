"""Each worker takes one GPU for itself, and gives it back however it ends. No container is needed to show it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .stack import ROOT

SHOW_AND_STAY = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)"
Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command in a slot, on a machine of two GPUs."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'GPU-a\\nGPU-b\\n'\n")
    tool.chmod(0o755)
    slots = tmp_path / "slots"
    slots.mkdir()
    command = [sys.executable, ROOT / "deploy" / "gpu_slot.py", slots, sys.executable, "-c", SHOW_AND_STAY]
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    started: list[subprocess.Popen[str]] = []

    def begin() -> "subprocess.Popen[str]":
        process = subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def gpu_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_workers_see_one_gpu_each(start: Start) -> None:
    assert {gpu_of(start()), gpu_of(start())} == {"GPU-a", "GPU-b"}


def test_a_third_worker_is_told_that_there_is_no_gpu_left(start: Start) -> None:
    gpu_of(start())
    gpu_of(start())
    third = start()
    _, message = third.communicate(timeout=20)
    assert third.returncode == 1
    assert "all 2 GPUs are taken" in message


def test_a_worker_that_was_killed_leaves_its_gpu_to_the_next(start: Start) -> None:
    first, second = start(), start()
    gpu, other = gpu_of(first), gpu_of(second)
    first.kill()
    first.wait()
    assert gpu_of(start()) == gpu != other
