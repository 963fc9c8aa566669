"""Processes that take GPUs: each another one, whoever else starts, dies or waits. The GPUs are names only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from workers.run import device

# A worker takes a device in a process of its own, with torch.cuda as a machine of these GPUs would have it. As the
# driver does, it shows only those of CUDA_VISIBLE_DEVICES, numbered from 0, and never more than one MIG slice, whose
# identity here is that of its GPU.
PROGRAM = """
import os, sys, time
from types import SimpleNamespace
import torch
from workers.lease import Drain
from workers.run import device

there = sys.argv[1].split(",")
asked = os.environ.get("CUDA_VISIBLE_DEVICES")
parent = lambda name: name.rpartition("-")[0] if name.startswith("MIG-") else name
seen = there if asked is None else [there[int(i)] if i.isdigit() else i for i in asked.split(",")]
seen = seen[:1] if seen[0].startswith("MIG-") else seen
torch.cuda.is_available = lambda: bool(seen)
torch.cuda.device_count = lambda: len(seen)
torch.cuda.get_device_properties = lambda index: SimpleNamespace(uuid=parent(seen[index]))
device.WAIT_S = 0.05
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
(taken,) = device._free_gpus(1, Drain())
print(seen[taken.index], flush=True)
time.sleep(600)
"""
GPUS = ["GPU-0", "GPU-1", "GPU-2", "GPU-3"]
MIG = ["MIG-a5ab-1", "MIG-a5ab-2"]


class Machine:
    """Some GPUs, and the processes that take them, all at once after `begin`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []

    def start(self, gpus: list[str], visible: str | None = None) -> subprocess.Popen[str]:
        environment = os.environ | {"TMPDIR": str(self.folder), "OMP_NUM_THREADS": "1"}
        environment |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        command = [sys.executable, "-c", textwrap.dedent(PROGRAM), ",".join(gpus), str(self.folder / "begin")]
        output = (self.folder / f"out-{len(self.processes)}").open("w")
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)
        self.processes.append(process)
        return process

    def begin(self) -> None:
        (self.folder / "begin").touch()

    def taken(self) -> list[str]:
        """What each has taken, in the order of their starts; "" for one that waits."""
        said = [(self.folder / f"out-{number}").read_text() for number in range(len(self.processes))]
        return [text.splitlines()[-1] if text.endswith(("0\n", "1\n", "2\n", "3\n")) else "" for text in said]

    def wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, [path.read_text() for path in sorted(self.folder.glob("out-*"))]
            time.sleep(0.05)

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_processes_that_start_at_once_take_different_gpus_and_one_too_many_waits_for_a_death(machine) -> None:
    """Two GPUs would do for the rule; four processes at once are what `--scale` brings."""
    for _ in range(5):
        machine.start(GPUS)
    machine.begin()
    machine.wait(lambda: sum(map(bool, machine.taken())) == 4)
    taken = machine.taken()
    assert sorted(filter(None, taken)) == GPUS
    late = taken.index("")
    victim = (late + 1) % 5
    machine.kill(machine.processes[victim])
    machine.wait(lambda: machine.taken()[late])
    assert machine.taken()[late] == taken[victim]


def test_visible_devices_are_kept_to_and_two_numberings_mean_the_same_gpu(machine) -> None:
    """The first sees one GPU alone, as its number 0; the second sees it too, as another number, and takes another."""
    for number, visible in enumerate(["2", "2,0", "0,2"]):
        machine.start(GPUS, visible=visible)
        machine.begin()
        if number < 2:
            machine.wait(lambda number=number: machine.taken()[number])
    assert machine.taken()[:2] == ["GPU-2", "GPU-0"]
    machine.kill(machine.processes[0])
    machine.wait(lambda: machine.taken()[2])
    assert machine.taken()[2] == "GPU-2"


def test_each_slice_of_a_gpu_is_a_device_of_its_own(machine) -> None:
    for slice_ in (MIG[0], MIG[1], MIG[1]):
        machine.start([], visible=slice_)
    machine.begin()
    machine.wait(lambda: sum(map(bool, machine.taken())) == 2)
    taken = machine.taken()
    assert set(filter(None, taken)) == set(MIG)
    machine.kill(machine.processes[taken.index(MIG[1])])
    machine.wait(lambda: machine.taken()[taken.index("")] == MIG[1])


def test_a_container_s_limit_is_what_a_cpu_worker_may_use(tmp_path: Path) -> None:
    cpu, limit, none = torch.device("cpu"), tmp_path / "max", tmp_path / "none"
    limit.write_text("1073741824\n")
    none.write_text("max\n")
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert device.capacity(cpu, (limit, none)) == 1 << 30
    assert device.capacity(cpu, (none, tmp_path / "absent")) == whole
    limit.write_text(str(1 << 62))
    assert device.capacity(cpu, (limit,)) == whole


def test_a_gpu_s_memory_is_the_driver_s_word(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        total_memory = 85_520_809_984

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    assert device.capacity(torch.device("cuda", 0)) // (1 << 30) == 79
