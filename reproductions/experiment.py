"""What an experiment is, and where the experiments are."""

from __future__ import annotations

import ast
import hashlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from reproductions.lab import Lab
from reproductions.results import Bar

__all__ = ["Bar", "Experiment", "digest"]

_ROOT = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment of the tutorial; everything but `run` is written before the first run.

    `papers`: (arXiv id or "", citation). `data`: what it is run on, and how that differs from the paper's. `differs`:
    where and why we differ from the paper. `run` works with a `Lab`: it fills the table and judges each bar once.
    """

    name: str
    title: str
    papers: tuple[tuple[str, str], ...]
    data: str
    bars: tuple[Bar, ...]
    differs: tuple[str, ...]
    run: Callable[[Lab], None]


def digest(experiment: Experiment, *, quick: bool, seed: int) -> str:
    """Return the SHA-256 of the code that an experiment runs, the version of the client, and the settings."""
    module = importlib.import_module(experiment.run.__module__)
    known: dict[str, bytes] = {}
    _gather(str(module.__file__), known)
    total = hashlib.sha256(f"{version('sparring')} {quick} {seed}".encode())
    for name in sorted(known):
        total.update(name.encode() + b"\0" + known[name])
    return total.hexdigest()


def _gather(file: str, known: dict[str, bytes]) -> None:
    """Add a source file, and what it imports of this package, by name."""
    path = Path(file)
    place = f"{path.parent.name}/{path.name}"
    if place in known or not path.is_file():
        return
    known[place] = path.read_bytes()
    for name in _imported(known[place]):
        if name.startswith("reproductions."):
            _gather(str(_ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py")), known)


def _imported(source: bytes) -> Iterator[str]:
    """Yield the modules that a source names: `from a import b` may mean a, or a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
