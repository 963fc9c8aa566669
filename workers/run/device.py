"""Where a worker computes: one CPU share, or one GPU that no other worker of this machine holds.

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

from workers.engine.memory import keep_memory
from workers.lease import Drain, Draining

logger = logging.getLogger(__name__)

WAIT_S = 2.0
_held: list[int] = []


@dataclass(frozen=True)
class Place:
    """A device and its name in words."""

    device: torch.device
    name: str


def take(lane: str, threads: int, drain: Drain) -> Place:
    """Set torch up so that equal inputs give equal bytes, and take a device.

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
        return Place(torch.device("cpu"), processor())
    device = _free_gpu(drain)
    torch.cuda.set_device(device)
    return Place(device, torch.cuda.get_device_name(device))


def _free_gpu(drain: Drain) -> torch.device:
    """The first GPU whose lock is free; waits for one, since a worker that drains may hold it a little longer."""
    if not torch.cuda.is_available():
        raise RuntimeError("SPARRING_LANE is gpu, but torch sees no GPU; is this the GPU image, and is a GPU granted?")
    folder = Path(tempfile.gettempdir()) / "sparring-gpus"
    folder.mkdir(exist_ok=True)
    while not drain.requested():
        for index in range(torch.cuda.device_count()):
            if _lock(folder / f"{torch.cuda.get_device_properties(index).uuid}.lock"):
                return torch.device("cuda", index)
        logger.warning("all %d GPUs are held by other workers; waiting", torch.cuda.device_count())
        time.sleep(WAIT_S)
    raise Draining


def _lock(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True


def processor() -> str:
    """The processor's name, e.g. as /proc/cpuinfo has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
