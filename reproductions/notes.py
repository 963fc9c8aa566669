"""What an experiment writes down: the lines of its table, the verdicts on its bars, its plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reproductions.results import Bar, Row, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

UNEXPLAINED = "Nothing in the experiment's file explains this: it was expected to be met."


class Notes:
    """The page of one experiment while it is being filled; `say` prints a line at once."""

    def __init__(self, bars: Sequence[Bar], folder: Path, *, quick: bool, say: Callable[[str], None]) -> None:
        self.quick, self.folder, self.say = quick, folder, say
        self._bars = {bar.key: bar for bar in bars}
        self._rows: list[Row] = []
        self._judged: dict[str, tuple[bool, str]] = {}
        self._why: dict[str, str] = {}
        self._pictures: dict[str, str] = {}

    def row(self, what: str, *, paper: str, ours: str, n: int, settings: str) -> None:
        """Add a line to the table; no cell of it may be empty."""
        line = Row(what=what, paper=paper, ours=ours, n=n, settings=settings)
        if not all((what, paper, ours, settings)) or n < 1:
            raise ValueError(f"a line of the table lacks something: {line}")
        self._rows.append(line)
        self.say(f"{what}: paper {paper}, ours {ours} (n = {n}; {settings})")

    def bar(self, key: str, met: bool, measured: str) -> None:  # noqa: FBT001 - reads like a sentence
        """Judge one of the bars; `measured` is the figure that decided it."""
        if key not in self._bars:
            raise ValueError(f"there is no bar {key!r}; known are: {', '.join(self._bars)}")
        if key in self._judged or not measured:
            raise ValueError(f"bar {key!r} was judged before, or without a measured figure")
        self._judged[key] = (bool(met), measured)
        self.say(f"{'met    ' if met else 'not met'}  {self._bars[key].text}: {measured}")

    def explain(self, key: str, why: str) -> None:
        """Say beside a bar why it was not met, and what is held instead; shown only where it was not met."""
        if key not in self._bars:
            raise ValueError(f"there is no bar {key!r}; known are: {', '.join(self._bars)}")
        self._why[key] = why

    def figure(self, name: str, figure: Figure, words: str | None = None) -> None:
        """Keep a plot as `name`.svg beside the page; `words` say what it shows."""
        import matplotlib as mpl

        # The same figures give the same bytes: no date, and ids that are not drawn at random.
        with mpl.rc_context({"svg.hashsalt": name}):
            figure.savefig(self._path(f"{name}.svg", words), metadata={"Date": None})

    def picture(self, name: str, picture: Image, words: str | None = None) -> None:
        """Keep a picture as `name`.png beside the page; `words` say what it shows."""
        picture.save(self._path(f"{name}.png", words), optimize=True)

    def _path(self, file: str, words: str | None) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._pictures[file] = file.rpartition(".")[0].replace("_", " ") if words is None else words
        return self.folder / file

    @property
    def rows(self) -> tuple[Row, ...]:
        """The table."""
        return tuple(self._rows)

    @property
    def pictures(self) -> tuple[tuple[str, str], ...]:
        """The files beside the page, with what they show."""
        return tuple(self._pictures.items())

    def verdicts(self) -> tuple[Verdict, ...]:
        """Every bar with its verdict; raises ValueError where one that this run judges was not judged."""
        left = [key for key, bar in self._bars.items() if key not in self._judged and (bar.quick or not self.quick)]
        if left:
            raise ValueError(f"not judged: {', '.join(left)}")
        return tuple(self._verdict(bar) for bar in self._bars.values())

    def _verdict(self, bar: Bar) -> Verdict:
        if bar.key not in self._judged:
            return Verdict(key=bar.key, text=bar.text, met=None, measured="judged in the full run only")
        met, measured = self._judged[bar.key]
        why = "" if met else self._why.get(bar.key, UNEXPLAINED)
        return Verdict(key=bar.key, text=bar.text, met=met, measured=measured, why=why)
