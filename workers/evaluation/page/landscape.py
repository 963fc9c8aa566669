"""The map of a model's features: where its samples lie, and where the attack moves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from workers.evaluation import words
from workers.evaluation.headline import speaking
from workers.evaluation.inputs import ModelInfo, SummaryInput
from workers.evaluation.merge import ModelSamples
from workers.evaluation.page.canvas import COLOUR, SERIES, Plot, Swatch, drawn
from workers.evaluation.page.embedding import place
from workers.evaluation.page.pictures import class_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

SIDE: Final = 420.0
LEAST: Final = 4
"""Samples of a class from which on its name stands on the map."""


def landscape_plot(name: str, given: SummaryInput, model: ModelInfo, one: ModelSamples) -> Plot | None:
    """Draw the map of one model; None where nothing was followed, or too little to draw."""
    group = speaking(given.runs)
    if one.features is None or group is None:
        return None
    points = place(one.features, given.seed)
    if points is None:
        return None
    m = len(one.features)
    label = one.clean.label[:m].numpy()
    said = [one.runs[run.key].prediction[:m].numpy() for run in group.runs]
    answer = np.stack(said)[one.features.run.numpy(), np.arange(m)]
    clean, after = points[:m], points[m:]
    wrong = answer != label

    def draw(axes: Axes) -> None:
        _paths(axes, clean[wrong], after[wrong])
        _dots(axes, clean, label, "o", 4.2)
        _dots(axes, after[wrong], answer[wrong], "X", 5.4)
        _names(axes, clean, label, [class_name(given.data, number) for number in range(model.classes)])
        axes.set_xlim(-0.04, 1.04)
        axes.set_ylim(-0.04, 1.04)
        axes.set_xticks([])
        axes.set_yticks([])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)

    count = int(wrong.sum())
    note = f"{words.samples(m)}, {words.count(count)} of them wrong under attack, at the end of their paths."
    margins = (4.0, 4.0, 4.0, 4.0)
    drawing = drawn(draw, name=name, subject=f"Map of features. {note}", size=(SIDE, SIDE), margins=margins)
    legend = (Swatch("clean, by its class", "muted", "dot"), Swatch("under attack, by the answer", "muted", "cross"))
    return Plot(words.short(model.name), drawing, legend, (note,))


def _paths(axes: Axes, clean: Points, after: Points) -> None:
    """Draw a thin line from each sample to its adversarial example, all of them as one path."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if len(clean):
        vertices = np.stack([clean, after], axis=1).reshape(-1, 2)
        codes = np.tile([Path.MOVETO, Path.LINETO], len(clean))
        path = Path(vertices.tolist(), codes.tolist())
        axes.add_patch(PathPatch(path, facecolor="none", edgecolor=COLOUR["muted"], alpha=0.5, linewidth=0.9))


def _dots(axes: Axes, points: Points, label: Labels, marker: str, size: float) -> None:
    """Draw the points of each class in its colour; of more classes than colours, some share one."""
    for number in sorted(set(label.tolist())):
        x, y = points[label == number].T
        colour = COLOUR[f"s{number % SERIES}"]
        axes.plot(x, y, ls="none", marker=marker, color=colour, markersize=size, markeredgewidth=0, alpha=0.9)


def _names(axes: Axes, clean: Points, label: Labels, names: list[str]) -> None:
    """Write the name of each class where most of it lies, if there are no more classes than colours."""
    present = sorted(set(label.tolist()))
    for number in present if len(present) <= SERIES else ():
        own = clean[label == number]
        if len(own) >= LEAST:
            # The sample that is nearest to all others, so that the name is never between two clusters.
            x, y = own[np.linalg.norm(own[:, None] - own[None], axis=2).sum(1).argmin()]
            axes.text(x, y, names[number][:12], ha="center", va="center", fontsize=15, fontweight="bold")
