"""What a result was computed by: this program, the packages below it, the machine."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

import torch

from workers.run import device

SOURCES = ("services", "workers")
PACKAGES = ("matplotlib", "numpy", "protobuf", "safetensors", "scikit-learn", "torch", "torchvision")


def packages() -> dict[str, str]:
    """The versions of Python and of the packages that the bytes depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def code() -> dict[str, str]:
    """The version of Sparring, and a digest of its source as it is installed."""
    return {"sparring": version("sparring"), "source_sha256": source_sha256()}


def machine(where: torch.device) -> dict[str, str | int]:
    """The lane, the processor or GPU by its name, and the threads of a worker on a device."""
    gpu = where.type == "cuda"
    name = torch.cuda.get_device_name(where) if gpu else device.processor()
    return {"lane": "gpu" if gpu else "cpu", "name": name, "threads": torch.get_num_threads()}


@cache
def source_sha256() -> str:
    """SHA-256 over every .py file of the packages `services` and `workers`, in the order of their paths.

    Of each file: its path from the folder above the package, with /, in UTF-8; a zero byte; the SHA-256 of its content.
    """
    found = sorted(pair for package in SOURCES for pair in _python_files(files(package), package))
    digest = hashlib.sha256()
    for path, content in found:
        digest.update(path.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def _python_files(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        below = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _python_files(entry, below)
        elif entry.name.endswith(".py"):
            yield below, entry.read_bytes()
