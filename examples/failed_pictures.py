"""The pictures of the gallery of defenses that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

RADIUS = 0.25
_LIGHT, _DARK = "#9ecae1", "#a50f15"


def bars(figures: dict[str, Any], path: Path) -> None:
    """For each defense, what the naive and what the adaptive evaluation say is left."""
    rows = list(figures.values())[::-1]
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(rows) + 1), layout="constrained")
    places = range(len(rows))
    _bar(axes, [place + 0.2 for place in places], [row["naive"] for row in rows], _LIGHT, "naive evaluation")
    adaptive = [row["adaptive"][RADIUS] for row in rows]
    _bar(axes, [place - 0.2 for place in places], adaptive, _DARK, "adaptive attack, ε = 0.25")
    clean = [row["clean"] for row in rows]
    axes.scatter(clean, list(places), marker="|", s=180, color="black", label="clean", zorder=3)
    axes.set_yticks(list(places), [row["title"] for row in rows])
    axes.set_xlim(0, 1)
    axes.margins(y=0.01)
    axes.set_xlabel("share of the digits that are answered right")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, 1.07), ncols=3, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _bar(axes: Axes, places: list[float], widths: list[float], colour: str, label: str) -> None:
    axes.barh(places, widths, height=0.38, color=colour, label=label)
    for place, width in zip(places, widths, strict=True):
        at, shade = (0.008, "black") if width > 0.1 else (width + 0.008, colour)
        axes.text(at, place, f"{100 * width:.0f}", va="center", fontsize=7, color=shade)


def curves(figures: dict[str, Any], path: Path) -> None:
    """What the adaptive attack leaves, against its radius, of the defenses that buy something at a small one."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for row in figures.values():
        if len(row["adaptive"]) > 2:
            points = {0.0: row["clean"], **row["adaptive"]}
            style = {"color": "black", "linewidth": 2} if row["title"] == "undefended" else {}
            axes.plot(list(points), list(points.values()), marker="o", markersize=3, label=row["title"], **style)
    axes.set_xlabel("ε of the adaptive attack (L∞, pixels in [0, 1])")
    axes.set_ylabel("share of the digits answered right")
    axes.set_ylim(0, 1)
    axes.set_xlim(0, RADIUS)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
