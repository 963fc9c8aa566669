"""Shares against epsilon, epochs, or whatever else: lines with their points, and intervals where lines are few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.evaluation.page.canvas import COLOUR, DASHES, SERIES, Plot, Swatch, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE: Final = (420.0, 300.0)
MARGINS: Final = (46.0, 20.0, 10.0, 42.0)

BANDS: Final = 3
"""Lines up to which their intervals are drawn too."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line by rising x: `points` are (x, share), `band` the (low, high) of each, or empty.

    series: which colour; from `SERIES` on they come again with square marks. dash: one of `canvas.DASHES`.
    """

    label: str
    series: int
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...] = ()
    dash: str = "solid"

    @property
    def colour(self) -> str:
        """The name of its colour."""
        return f"s{self.series % SERIES}"

    @property
    def square(self) -> bool:
        """Whether its marks are squares."""
        return self.series >= SERIES


@dataclass(frozen=True)
class Axis:
    """What the shares stand against, from `low` to `high`: ticks with their texts, and what it is in words."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    words: str


def line_plot(
    name: str,
    lines: Sequence[Line],
    axis: Axis,
    *,
    caption: str,
    chance: float | None = None,
    notes: Sequence[str] = (),
) -> Plot:
    """Draw lines; `name` is unique on the page, `chance` the share that guessing has, None to leave it out."""

    def draw(axes: Axes) -> None:
        _shares(axes)
        axes.set_xlim(axis.low, axis.high)
        axes.set_xticks([tick for tick, _ in axis.ticks], [text for _, text in axis.ticks])
        axes.set_xlabel(axis.words, labelpad=6)
        if chance is not None:
            axes.axhline(chance, color=COLOUR["muted"], linewidth=1, linestyle=DASHES["dotted"])
            axes.annotate("guessing", (1, chance), (0, 4), ("axes fraction", "data"), "offset points", ha="right")
        for line in lines:
            _line(axes, line, banded=len(lines) <= BANDS)

    told = "; ".join(f"{line.label}: {_told(line)}" for line in lines)
    drawing = drawn(draw, name=name, subject=f"{caption}. {told}", size=SIZE, margins=MARGINS)
    legend = tuple(Swatch(line.label, line.colour, line.dash, line.square) for line in lines)
    return Plot(caption, drawing, legend, tuple(notes))


def _shares(axes: Axes) -> None:
    """Make the upright axis one of shares."""
    axes.set_ylim(-0.015, 1.015)
    levels = (0, 0.25, 0.5, 0.75, 1)
    axes.set_yticks(levels, [f"{100 * level:.0f} %" for level in levels])
    axes.grid(visible=True, axis="y")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _line(axes: Axes, line: Line, *, banded: bool) -> None:
    x, y = zip(*line.points, strict=True)
    colour = COLOUR[line.colour]
    if banded and line.band:
        low, high = zip(*line.band, strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(
        x,
        y,
        color=colour,
        linewidth=1.9,
        linestyle=DASHES[line.dash],
        marker="s" if line.square else "o",
        markersize=4.6,
        markerfacecolor=COLOUR["ground"],
        markeredgewidth=1.6,
        clip_on=False,
    )


def _told(line: Line) -> str:
    """Return the first and the last point, for who can't see the others."""
    (first, begin), (last, end) = line.points[0], line.points[-1]
    return f"{100 * begin:.1f} % at {first:.4g}, {100 * end:.1f} % at {last:.4g}"


def ticks_to(top: float, *, grey: bool = False) -> list[float]:
    """Return round numbers from 0 to `top`, seven at most: decimals, or grey levels in steps of a power of two."""
    power = 10.0 ** math.floor(math.log10(top / 4))
    steps = (1.0, 2.0, 4.0, 8.0, 16.0) if grey else tuple(power * factor for factor in (1, 2, 2.5, 5, 10))
    step = next(step for step in steps if top / step <= 6)
    return [round(step * i, 10) for i in range(int(top / step + 1e-9) + 1)]
