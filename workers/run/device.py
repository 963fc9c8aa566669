"""Where a worker computes: one CPU share, or one GPU that no other worker of this machine holds.

With SPARRING_PROCESSES above 1 it takes as many GPUs, all at once, and spreads its trainings over them (on a CPU over
as many processes, each with the worker's number of threads); everything else is done on the first.

A GPU is held by a lock on `<tmp>/sparring-gpus/<uuid>.lock`, which goes with the process. Workers in containers of one
machine share that folder as a volume; then each replica takes another GPU, though all of them see every one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from services.telemetry.metrics_worker import process_memory
from workers.engine.memory import keep_memory
from workers.lease import Drain, Draining

logger = logging.getLogger(__name__)

WAIT_S = 2.0
# The memory limit of a container, as its own control group shows it (version 2 or 1).
CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_held: list[int] = []


@dataclass(frozen=True)
class Place:
    """A device and its name in words, and the devices that a training is spread over, of which it is the first."""

    device: torch.device
    name: str
    devices: tuple[torch.device, ...]


def take(lane: str, threads: int, drain: Drain, processes: int = 1) -> Place:
    """Set torch up so that equal inputs give equal bytes, and take a device, or one for each of several processes.

    Raises Draining where the worker is told to shut down while it waits for a GPU.
    """
    keep_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    # A few operations have no deterministic form on a GPU; there a warning is better than no result.
    torch.use_deterministic_algorithms(mode=True, warn_only=lane == "gpu")
    # It costs time, and guards only against bugs.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    if lane == "cpu":
        return Place(torch.device("cpu"), processor(), (torch.device("cpu"),) * processes)
    devices = _free_gpus(processes, drain)
    torch.cuda.set_device(devices[0])
    return Place(devices[0], torch.cuda.get_device_name(devices[0]), devices)


def _free_gpus(count: int, drain: Drain) -> tuple[torch.device, ...]:
    """The first GPUs whose locks are free; waits for them, since a worker that drains may hold one a little longer."""
    if not torch.cuda.is_available():
        raise RuntimeError("SPARRING_LANE is gpu, but torch sees no GPU; is this the GPU image, and is a GPU granted?")
    if torch.cuda.device_count() < count:
        raise RuntimeError(f"SPARRING_PROCESSES is {count}, but torch sees {torch.cuda.device_count()} GPUs")
    folder = Path(tempfile.gettempdir()) / "sparring-gpus"
    folder.mkdir(exist_ok=True)
    while not drain.requested():
        locks: dict[int, int] = {}
        for index in range(torch.cuda.device_count()):
            lock = _lock(folder / f"{_identity(index)}.lock")
            if lock is not None:
                locks[index] = lock
            if len(locks) == count:
                _held.extend(locks.values())
                return tuple(torch.device("cuda", index) for index in locks)
        # Two workers that each held some and waited for the rest would wait for ever.
        for lock in locks.values():
            os.close(lock)
        logger.warning("of %d GPUs fewer than %d are free; waiting", torch.cuda.device_count(), count)
        time.sleep(WAIT_S)
    raise Draining


def _identity(index: int) -> str:
    """What tells a GPU, or a MIG slice of one, from every other of this machine, in whatever order a process sees them.

    Whether the driver gives a slice an identity of its own or that of its GPU depends on its version; the name by which
    an operator granted it is the slice's own in any case.
    """
    for variable in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        granted = os.environ.get(variable, "").split(",")
        if index < len(granted) and granted[index].strip().startswith("MIG-"):
            return granted[index].strip().replace("/", "-")
    return str(torch.cuda.get_device_properties(index).uuid)


def _lock(path: Path) -> int | None:
    """Hold a lock; its descriptor, None where another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def memory(device: torch.device) -> tuple[int, int]:
    """Bytes that are used and that there are: of a GPU; on a CPU, of this process and of the machine."""
    if device.type != "cuda":
        return process_memory()
    free, total = torch.cuda.mem_get_info(device)
    return total - free, total


def capacity(device: torch.device, limits: tuple[Path, ...] = CONTAINER_LIMITS) -> int:
    """Bytes that a job may count on: a GPU's, on a CPU the machine's or its container's limit; 0 where nobody knows."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
    for path in limits:
        try:
            # Version 2 says `max` where there is no limit, version 1 a number beyond any machine.
            there = min(there, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return max(0, there)


def processor() -> str:
    """The processor's name, e.g. as /proc/cpuinfo has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
