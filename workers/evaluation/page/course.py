"""Accuracy against epochs, of a training that was watched."""

from __future__ import annotations

from typing import Final

from workers.evaluation import words
from workers.evaluation.course import Course
from workers.evaluation.page.canvas import Plot
from workers.evaluation.page.lines import Axis, Line, line_plot

# Field of a look, its words, colour and dash.
LINES: Final = (
    ("held_out_robust", "held out, under PGD", 0, "solid"),
    ("held_out_clean", "held out, clean", 0, "dashed"),
    ("probe_robust", "learned from, under PGD", 1, "solid"),
    ("probe_clean", "learned from, clean", 1, "dashed"),
)
TICKS: Final = 7


def course_plot(course: Course) -> Plot:
    """Draw the shares that were right after each epoch that was looked at."""
    lines = []
    for name, label, series, dash in LINES:
        points = tuple((float(look.epoch), getattr(look, name)) for look in course.looks)
        if points[0][1] is not None:
            lines.append(Line(label=label, series=series, dash=dash, points=points))
    epochs = [look.epoch for look in course.looks]
    every = -(-len(epochs) // TICKS)
    # A training of one look has an axis too.
    last = max(epochs[-1], epochs[0] + 1)
    axis = Axis(epochs[0], last, tuple((epoch, str(epoch)) for epoch in epochs[::every]), "epoch")
    radius = words.radius("linf", course.epsilon)
    caption = f"Accuracy after each epoch; PGD of {course.steps} steps at L∞ {radius}"
    return line_plot("course", lines, axis, caption=caption)
