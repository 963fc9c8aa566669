"""What the poisoning example measures with: each figure once, kept in a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workers.data import Dataset
from workers.engine.monitor import NullMonitor
from workers.poisoning import Learner, Measurement, Outcome, Poison, Sanitizer, measure
from workers.poisoning.packing import pack, unpack

SEED = 1


@dataclass(frozen=True)
class Case:
    """A poison, who learns, and from what; the data are to learn from and to judge on."""

    key: str
    poison: Poison
    learner: Learner
    data: tuple[Dataset, Dataset]


@dataclass
class Bench:
    """Measures each thing once, and keeps it."""

    folder: Path
    seeds: Sequence[int]
    quick: bool
    kept: dict[str, Measurement] = field(default_factory=dict)

    def measure(self, case: Case, fraction: float, sanitizer: Sanitizer = "none", *, seed: int = SEED) -> Measurement:
        """What `measure` says, or what it said the last time."""
        key = f"{case.key}-{fraction:g}-{sanitizer}-{seed}"
        path = self.folder / f"{key}.safetensors"
        if key not in self.kept and not path.exists():
            begun, how = time.monotonic(), {"sanitizer": sanitizer, "seed": seed, "monitor": NullMonitor()}
            made = measure(case.poison, case.learner, *case.data, fraction, **how)
            path.write_bytes(pack(made))
            print(f"  {key:<44} {told(made)}   {time.monotonic() - begun:6.1f} s", flush=True)
        if key not in self.kept:
            self.kept[key] = unpack(path.read_bytes())
        return self.kept[key]


def curve(
    bench: Bench, case: Case, fractions: Sequence[float], defender: Sanitizer
) -> dict[str, list[float] | list[float | None]]:
    """One poison and one defender: a list by fraction, 0 first, of each figure."""
    made = [bench.measure(case, fraction, defender) for fraction in (0.0, *fractions)]
    return {
        "fraction": [0.0, *fractions],
        "error": [error(one.plain) for one in made],
        "fires": [fires(one.plain) for one in made],
        f"error, {defender}": [error(one.sanitized) for one in made],
        f"fires, {defender}": [fires(one.sanitized) for one in made],
        f"caught, {defender}": [caught(one) for one in made],
    }


def merged(curves: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The curves of both defenders; what nobody sanitised is the same in both."""
    return {name: values for one in curves for name, values in one.items()}


def error(outcome: Outcome | None) -> float:
    """The part of the judged samples that is wrong."""
    assert outcome is not None
    return outcome.wrong / outcome.judged


def fires(outcome: Outcome | None) -> float | None:
    """How often the poison did what it was for."""
    assert outcome is not None
    return outcome.fired / outcome.chances if outcome.chances else None


def caught(made: Measurement) -> float:
    """The part of the poison that the defender dropped."""
    assert made.sanitized is not None
    return made.sanitized.caught / max(1, made.poisoned * made.attempts)


def told(made: Measurement) -> str:
    """A measurement in a line."""
    outcomes = {"": made.plain} | ({} if made.sanitized is None else {" sanitised": made.sanitized})
    return "  ".join(
        f"error{what} {error(one):.4f}" + (f" fires {fires(one):.3f}" if one.chances else "")
        for what, one in outcomes.items()
    )
