"""Shares against epsilon, or anything else, as inline SVG: colours come from the page, right in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from workers.evaluation import words
from workers.evaluation.inputs import SummaryInput
from workers.evaluation.proportions import Proportion
from workers.evaluation.rows import CLEAN, Row

WIDTH, HEIGHT = 860, 400
LEFT, RIGHT, TOP, BOTTOM = 58, 26, 14, 52
COLOURS = 8
DASHES = ("", "7 5", "2 4", "10 4 2 4")

CROWDED = 8
"""Lines from which on a chart is split, one for each curve of the job."""


BANDS = 3
"""Lines up to which their intervals are drawn too."""


@dataclass(frozen=True)
class Line:
    """One model under one curve; `points` are (epsilon, accuracy) by rising epsilon, or `of` whatever else."""

    label: str
    colour: int
    square: bool
    dash: str
    points: tuple[tuple[float, Proportion], ...]
    of: str = "epsilon"


@dataclass(frozen=True)
class Axis:
    """What the shares stand against, from 0 to `top`: ticks with their texts, and what it is in words."""

    top: float
    ticks: tuple[tuple[float, str], ...]
    words: str


@dataclass(frozen=True)
class Chart:
    """A drawing with its caption and its legend of (swatch, words)."""

    caption: str
    drawing: Markup
    legend: tuple[tuple[Markup, str], ...]


def epsilon_charts(given: SummaryInput, rows: Sequence[Row]) -> list[Chart]:
    """Draw the curves: one chart for those of one norm and kind of goal, split by curve where it would be crowded."""
    curves = words.curve_heads(given.runs)
    names = words.curve_labels(given.runs)
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, run in curves.items():
        crowded = len(curves) * len(given.models) > CROWDED
        groups.setdefault((run.norm, run.targeted, number if crowded else None), []).append(number)
    charts = []
    for (norm, targeted, _), members in groups.items():
        lines = [
            line
            for place, number in enumerate(members)
            for line in _lines(given, rows, number, names[number] if len(members) > 1 else "", DASHES[place])
        ]
        what = "share that does not become the target" if targeted else "robust accuracy"
        attacks = words.listed([names[number] for number in members])
        drawing = _draw(lines, str(norm), 1 / given.models[0].classes)
        charts.append(Chart(f"{attacks}: {what} against epsilon", drawing, legend(lines)))
    return charts


def _lines(given: SummaryInput, rows: Sequence[Row], curve: int, attack: str, dash: str) -> list[Line]:
    """Return a curve's line for each model; `attack` is empty where the chart has no other."""
    runs = {run.key: run for run in given.runs if run.curve == curve}
    lines = []
    for place, model in enumerate(given.models):
        own = [row for row in rows if row.model == model.name]
        points = {runs[row.run].epsilon: row.robust_accuracy for row in own if row.run in runs}
        if not any(run.targeted for run in runs.values()):
            # At epsilon 0 nothing can be changed: the curve starts at the clean accuracy.
            points[0.0] = next(row.clean_accuracy for row in own if row.attack == CLEAN)
        name = words.short(model.name) if len(given.models) > 1 or not attack else ""
        label = ", ".join(filter(None, [name, attack]))
        lines.append(Line(label, place % COLOURS, place >= COLOURS, dash, tuple(sorted(points.items()))))
    return lines


def _draw(lines: Sequence[Line], norm: str, chance: float) -> Markup:
    largest = max((epsilon for line in lines for epsilon, _ in line.points), default=0.0)
    axis = _epsilon_axis(lines, norm, largest if largest > 0 else 1.0)
    return draw(lines, axis, subject="Accuracy against epsilon", extra=_chance(chance))


def draw(lines: Sequence[Line], axis: Axis, *, subject: str, extra: Sequence[str] = ()) -> Markup:
    """Draw lines with their points, and intervals where they are few; `extra` is SVG behind them."""
    parts = [*_grid(), *_ticked(axis), *extra]
    if len(lines) <= BANDS:
        parts += [_band(line, axis.top) for line in lines]
    parts += [_stroke(line, axis.top) for line in lines]
    label = escape("; ".join(line.label for line in lines))
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(subject)}: {label}">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - every text in it is escaped above or a number


def legend(lines: Sequence[Line]) -> tuple[tuple[Markup, str], ...]:
    """Return each line's swatch and words."""
    return tuple((_swatch(line), line.label) for line in lines)


def _grid() -> list[str]:
    parts = []
    for level in (0, 0.25, 0.5, 0.75, 1):
        y = _y(level)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{100 * level:.0f} %</text>')
    return parts


def _epsilon_axis(lines: Sequence[Line], norm: str, top: float) -> Axis:
    levels = [255 * epsilon for line in lines for epsilon, _ in line.points]
    grey = norm == "linf" and top <= 0.2 and all(abs(level - round(level)) < 1e-6 for level in levels)
    unit = 255.0 if grey else 1.0
    ticks = ticks_to(top * unit, grey=grey)
    named = tuple((tick / unit, f"{tick:g}/255" if grey and tick else f"{tick:g}") for tick in ticks)
    unit_of_axis = "values that change" if norm == "l0" else "pixels in [0, 1]"
    return Axis(top, named, f"epsilon, {words.NORMS[norm]}, {unit_of_axis}")


def _ticked(axis: Axis) -> list[str]:
    parts = []
    for tick, text in axis.ticks:
        x = _x(tick, axis.top)
        parts.append(f'<text class="tick" x="{x}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{text}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{axis.words}</text>')
    return parts


def _chance(chance: float) -> list[str]:
    if chance < 0.02:
        return []
    y = _y(chance)
    return [
        f'<line class="chance" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>',
        f'<text class="tick" x="{LEFT + 6}" y="{y - 5}">guessing</text>',
    ]


def _band(line: Line, top: float) -> str:
    upper = [f"{_x(epsilon, top)},{_y(share.high)}" for epsilon, share in line.points]
    lower = [f"{_x(epsilon, top)},{_y(share.low)}" for epsilon, share in reversed(line.points)]
    return f'<polygon class="band s{line.colour}" points="{" ".join(upper + lower)}"/>'


def _stroke(line: Line, top: float) -> str:
    path = " ".join(f"{_x(epsilon, top)},{_y(share.value)}" for epsilon, share in line.points)
    marks = [
        _mark(line, _x(epsilon, top), _y(share.value), _tip(line, epsilon, share)) for epsilon, share in line.points
    ]
    return f'<polyline class="line s{line.colour}" stroke-dasharray="{line.dash}" points="{path}"/>{"".join(marks)}'


def _tip(line: Line, epsilon: float, share: Proportion) -> str:
    text = f"{line.label}, {line.of} {words.number(epsilon)}: {words.share(share)} ({words.interval(share)})"
    return f"<title>{escape(text)}</title>"


def _mark(line: Line, x: float, y: float, tip: str) -> str:
    if line.square:
        return f'<rect class="mark s{line.colour}" x="{x - 4}" y="{y - 4}" width="8" height="8">{tip}</rect>'
    return f'<circle class="mark s{line.colour}" cx="{x}" cy="{y}" r="4">{tip}</circle>'


def _swatch(line: Line) -> Markup:
    stroke = f'<line class="line s{line.colour}" stroke-dasharray="{line.dash}" x1="0" y1="7" x2="38" y2="7"/>'
    mark = _mark(line, 19, 7, "")
    return Markup(f'<svg class="swatch" viewBox="0 0 38 14" aria-hidden="true">{stroke}{mark}</svg>')  # noqa: S704


def ticks_to(top: float, *, grey: bool = False) -> list[float]:
    """Return round numbers from 0 to `top`, nine at most: decimals, or grey levels in steps of a power of two."""
    power = 10.0 ** math.floor(math.log10(top / 4))
    steps = (1.0, 2.0, 4.0, 8.0, 16.0) if grey else tuple(power * factor for factor in (1, 2, 2.5, 5, 10))
    step = next(step for step in steps if top / step <= 8)
    return [round(step * i, 10) for i in range(int(top / step + 1e-9) + 1)]


def _x(epsilon: float, top: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * epsilon / top, 2)


def _y(share: float) -> float:
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share), 2)
