"""What came of an experiment: the table, the bars with their verdicts, and how it was run; kept as `results.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

FILE = "results.json"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One line of acceptance, written before the run; `quick` False: it is judged in the full run only."""

    key: str
    text: str
    quick: bool = True


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a system of the tutorial, the paper's figure and ours, on `n` samples."""

    what: str
    paper: str
    ours: str
    n: int
    settings: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A bar as it was judged: `met` None where only the full run judges it; `why` explains one that was not met."""

    key: str
    text: str
    met: bool | None
    measured: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that a page is made of.

    `digest` is that of the code and the settings (see `experiment.digest`). `seconds` are those of the clock: few where
    the jobs had been run before. `worked` are those that its jobs took whenever they were run, added up, with whatever
    else the machine did at the time.
    """

    name: str
    title: str
    papers: tuple[tuple[str, str], ...]
    data: str
    differs: tuple[str, ...]
    command: str
    quick: bool
    seed: int
    digest: str
    version: str
    seconds: float
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    pictures: tuple[tuple[str, str], ...] = ()  # file, words
    worked: float = 0.0

    @property
    def judged(self) -> tuple[Verdict, ...]:
        """The bars of this run."""
        return tuple(verdict for verdict in self.verdicts if verdict.met is not None)

    @property
    def missed(self) -> tuple[Verdict, ...]:
        """The bars that were not met."""
        return tuple(verdict for verdict in self.verdicts if verdict.met is False)

    def save(self, folder: Path) -> None:
        """Write the file; it appears whole or not at all."""
        fresh = folder / f"{FILE}.new"
        fresh.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read the file; None where there is none, or one of another version of Sparring."""
        try:
            held: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
            rows = tuple(Row(**row) for row in held.pop("rows"))
            verdicts = tuple(Verdict(**verdict) for verdict in held.pop("verdicts"))
            for name in ("papers", "pictures"):
                held[name] = tuple((one, other) for one, other in held[name])
            return cls(rows=rows, verdicts=verdicts, differs=tuple(held.pop("differs")), **held)
        except (OSError, ValueError, KeyError, TypeError):
            return None
