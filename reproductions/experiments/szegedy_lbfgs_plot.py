"""The plots and the sheet of `szegedy_lbfgs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from reproductions.experiments.szegedy_lbfgs_made import AMPLIFIED, Made, noisy, rms
from reproductions.pictures import Cell, sheet

if TYPE_CHECKING:
    from PIL.Image import Image

_SHOWN: Final = 8  # digits of a row


def transfer(names: Sequence[str], plain: Sequence[Sequence[float]], loud: Sequence[Sequence[float]]) -> Figure:
    """Two matrices, made for (rows) by shown to (columns): as they were made, and amplified."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    titles = ("as they were made", f"amplified to {AMPLIFIED:g}")
    for axes, title, errors in zip(figure.subplots(1, 2, sharey=True), titles, (plain, loud), strict=True):
        axes.imshow(100 * np.array(errors), vmin=0, vmax=100, cmap="magma_r")
        for i, row in enumerate(errors):
            for j, error in enumerate(row):
                colour = "white" if error > 0.5 else "black"
                axes.text(j, i, f"{100 * error:.0f}", ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("shown to")
    figure.axes[0].set_ylabel("made for")
    return figure


def distortions(made: Mapping[str, Made]) -> Figure:
    """The share of digits that are turned within a distortion, a curve for each net."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, one in made.items():
        ordered = np.sort(one.distortion)
        axes.step(ordered, 100 * one.success * np.arange(1, len(ordered) + 1) / len(ordered), where="post", label=name)
    axes.set_xlabel("distortion, sqrt(sum (x' - x)^2 / 784)")
    axes.set_ylabel("turned into a random class, %")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def digits(one: Made) -> Image:
    """Rows: clean, adversarial, amplified, and noise of the size of the amplified."""
    x, x_adv, loud = (pictures[:_SHOWN] for pictures in (one.x, one.x_adv, one.amplified))
    noise = noisy(x, AMPLIFIED, 0)
    rows: list[list[Cell]] = [
        [(picture, f"{label}") for picture, label in zip(x, one.label[:_SHOWN], strict=True)],
        [(picture, f"{size:.3f}") for picture, size in zip(x_adv, rms(x_adv - x), strict=True)],
        [(picture, f"{size:.3f}") for picture, size in zip(loud, rms(loud - x), strict=True)],
        [(picture, f"noise {size:.3f}") for picture, size in zip(noise, rms(noise - x), strict=True)],
    ]
    return sheet(rows, side=84)
