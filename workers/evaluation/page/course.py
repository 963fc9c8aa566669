"""Accuracy against epochs, of a training that was watched, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from workers.evaluation import words
from workers.evaluation.course import Course
from workers.evaluation.page.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart

# Field of a look, its words, colour and dash.
LINES: Final = (
    ("held_out_robust", "held out, under PGD", 0, ""),
    ("held_out_clean", "held out, clean", 0, "7 5"),
    ("probe_robust", "learned from, under PGD", 1, ""),
    ("probe_clean", "learned from, clean", 1, "7 5"),
)
TICKS: Final = 8


def course_chart(course: Course) -> Chart:
    """Draw the shares that were right after each epoch that was looked at."""
    first, last = course.looks[0].epoch, course.looks[-1].epoch
    parts = [*_levels(), *_epochs([look.epoch for look in course.looks])]
    legend = []
    for name, label, colour, dash in LINES:
        points = [(look.epoch, getattr(look, name)) for look in course.looks]
        if points[0][1] is None:
            continue
        parts.append(_line([(_x(epoch, first, last), _y(share)) for epoch, share in points], colour, dash))
        swatch = f'<line class="line s{colour}" stroke-dasharray="{dash}" x1="0" y1="7" x2="38" y2="7"/>'
        legend.append((_svg("swatch", f'viewBox="0 0 38 14" aria-hidden="true">{swatch}'), label))
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Accuracy against epochs of the training">'
    caption = f"Accuracy after each epoch; PGD of {course.steps} steps at L∞ {words.radius('linf', course.epsilon)}"
    return Chart(caption, _svg("chart", size + "".join(parts)), tuple(legend))


def _svg(kind: str, rest: str) -> Markup:
    return Markup(f'<svg class="{kind}" {rest}</svg>')  # noqa: S704 - made of numbers and the words of this file


def _levels() -> list[str]:
    parts = []
    for level in (0, 0.25, 0.5, 0.75, 1):
        y = _y(level)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{100 * level:.0f} %</text>')
    return parts


def _epochs(epochs: Sequence[int]) -> list[str]:
    every = -(-len(epochs) // TICKS)
    ticks = [
        f'<text class="tick" x="{_x(epoch, epochs[0], epochs[-1])}" y="{HEIGHT - BOTTOM + 20}" '
        f'text-anchor="middle">{epoch}</text>'
        for epoch in epochs[::every]
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    return [*ticks, f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">epoch</text>']


def _line(points: Sequence[tuple[float, float]], colour: int, dash: str) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    marks = "".join(f'<circle class="mark s{colour}" cx="{x}" cy="{y}" r="3"/>' for x, y in points)
    return f'<polyline class="line s{colour}" stroke-dasharray="{dash}" points="{path}"/>{marks}'


def _x(epoch: int, first: int, last: int) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (epoch - first) / max(1, last - first), 2)


def _y(share: float) -> float:
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share), 2)
