"""What a model answers, and how sure it is: confidence clean and under attack, and who is taken for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from workers.evaluation import words
from workers.evaluation.inputs import DataInfo
from workers.evaluation.merge import ModelSamples
from workers.evaluation.page.canvas import COLOUR, Plot, Swatch, drawn
from workers.evaluation.page.lines import ticks_to
from workers.evaluation.page.pictures import class_name
from workers.evaluation.shard import ShardRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS: Final = 20
"""Bars of a histogram, each of five points of confidence."""

SURE: Final = 0.9
"""Confidence from which on an answer is called sure."""

CLASSES: Final = 12
"""Classes of a confusion matrix; of more, those that lose most."""

LONGEST: Final = 9
"""Letters of a class name beside a matrix."""

SHORT: Final = 3
"""Letters up to which the names above a matrix stand upright."""

SIZE: Final = (420.0, 270.0)
MARGINS: Final = (50.0, 22.0, 10.0, 42.0)


def confidence_plot(name: str, one: ModelSamples, attacked: ShardRun, under: str) -> Plot:
    """Draw how sure the model is of its answers, clean and under the attacks that speak for it."""
    clean, after = _shares(one.clean.confidence), _shares(attacked.confidence)

    def draw(axes: Axes) -> None:
        edges = [i / BINS for i in range(BINS + 1)]
        axes.stairs(clean, edges, fill=True, color=COLOUR["held"], alpha=0.35, linewidth=0)
        axes.stairs(clean, edges, color=COLOUR["held"], linewidth=1.6)
        axes.stairs(after, edges, fill=True, color=COLOUR["broken"], alpha=0.25, linewidth=0)
        axes.stairs(after, edges, color=COLOUR["broken"], linewidth=1.6)
        axes.set_xlim(0, 1)
        levels = ticks_to(100 * max([*clean, *after]))
        axes.set_ylim(0, max(levels[-1] / 100, *clean, *after))
        axes.set_yticks([level / 100 for level in levels], [f"{level:g} %" for level in levels])
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("probability of its answer", labelpad=6)
        axes.grid(visible=True, axis="y")
        axes.spines["left"].set_visible(False)

    fooled = attacked.success
    sure = int((fooled & (attacked.confidence >= SURE)).sum())
    share = words.percent(sure / len(fooled))
    note = f"{share} of the samples were turned into a wrong answer that is at least {100 * SURE:.0f} % sure."
    legend = (
        Swatch(f"clean, median {_median(one.clean.confidence)}", "held", "area"),
        Swatch(f"under attack, median {_median(attacked.confidence)}", "broken", "area"),
    )
    drawing = drawn(
        draw, name=name, subject=f"Histogram of confidence, clean and under {under}. {note}", size=SIZE, margins=MARGINS
    )
    return Plot("How sure it is", drawing, legend, (note,))


def _shares(confidence: Tensor) -> list[float]:
    """Return the share of the samples in each bin; a confidence of 1 is in the last."""
    bins = (confidence.double() * BINS).floor().clamp(0, BINS - 1).long()
    counts = torch.bincount(bins, minlength=BINS)
    return [count / len(confidence) for count in counts.tolist()]


def _median(confidence: Tensor) -> str:
    return words.percent(float(confidence.double().quantile(0.5)))


def confusion_plot(name: str, data: DataInfo, one: ModelSamples, attacked: ShardRun, classes: int) -> Plot:
    """Draw what the samples of each class are taken for under the attacks that speak for the model."""
    table = torch.bincount(one.clean.label * classes + attacked.prediction, minlength=classes * classes)
    table = table.view(classes, classes)
    shown = _shown(table)
    part = table[shown][:, shown].double() / table[shown].sum(1, keepdim=True)
    shares, rest = part.tolist(), (1 - part.sum(1)).tolist()
    left_out = len(shown) < int((table.sum(1) > 0).sum()) or any(other > 1e-9 for other in rest)
    labels = [_short(class_name(data, label)) for label in shown]
    if left_out:
        shares = [[*row, other] for row, other in zip(shares, rest, strict=True)]

    def draw(axes: Axes) -> None:
        _matrix(axes, shares, labels, [*labels, "other"] if left_out else labels)

    worst = table.clone().fill_diagonal_(0)
    true, said = divmod(int(worst.argmax()), classes)
    count, of = int(worst[true, said]), int(table[true].sum())
    note = (
        f"Most often {class_name(data, true)} is taken for {class_name(data, said)}: {count} of {of}."
        if count
        else "No sample is taken for another class."
    )
    notes = (note, f"The {len(shown)} classes that lose most.") if len(shown) < classes else (note,)
    longest = max(len(label) for label in labels)
    margins = (34.0 + 6.5 * longest, 12.0, 30.0 + (5.0 * longest if longest > SHORT else 6.0), 26.0)
    height = SIZE[1] if longest <= SHORT else 300.0
    subject = f"Confusion matrix under attack. {note}"
    drawing = drawn(draw, name=name, subject=subject, size=(SIZE[0], height), margins=margins)
    legend = (Swatch("still right", "held", "area"), Swatch("taken for another", "broken", "area"))
    return Plot("What it is taken for", drawing, legend, notes)


def _shown(table: Tensor) -> list[int]:
    """Return the classes that have samples; of many, those with most of them turned, in the order of the labels."""
    counts = table.sum(1)
    wrong = counts - table.diagonal()
    present = [label for label, count in enumerate(counts.tolist()) if count]
    return sorted(sorted(present, key=lambda label: (-int(wrong[label]), label))[:CLASSES])


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _matrix(axes: Axes, shares: list[list[float]], rows: list[str], columns: list[str]) -> None:
    """Draw a cell for each pair, the stronger the more samples it has, with their percentage."""
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Rectangle

    cells = [(i, j, share) for i, row in enumerate(shares) for j, share in enumerate(row) if share > 0]
    corners = [[(j, i), (j + 1, i), (j + 1, i + 1), (j, i + 1)] for i, j, _ in cells]
    # Never so strong that its figure can't be read on it, in light or in dark.
    colours = [(COLOUR["held" if i == j else "broken"], 0.08 + 0.52 * share) for i, j, share in cells]
    axes.add_patch(Rectangle((0, 0), len(columns), len(rows), facecolor=COLOUR["track"], alpha=0.45, linewidth=0))
    axes.add_collection(PolyCollection(corners, facecolors=colours, linewidths=0), autolim=False)
    for i, j, share in cells:
        axes.text(j + 0.5, i + 0.5, f"{100 * share:.0f}", ha="center", va="center", fontsize=9.5)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.hlines(range(1, len(rows)), 0, len(columns), color=COLOUR["ground"], linewidth=1.5)
    axes.vlines(range(1, len(columns)), 0, len(rows), color=COLOUR["ground"], linewidth=1.5)
    longest = max(map(len, columns))
    axes.xaxis.tick_top()
    axes.set_xticks([j + 0.5 for j in range(len(columns))], columns, rotation=0 if longest <= SHORT else 60)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], rows)
    axes.set_xlabel("answer under attack, % of the class", labelpad=6)
    axes.set_ylabel("class", labelpad=6)
    for spine in axes.spines.values():
        spine.set_visible(False)
