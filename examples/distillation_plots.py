"""The two plots of `distillation.py`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from distillation_amplitudes import BINS

mpl.use("Agg")

from matplotlib import pyplot as plt


def draw(rows: Mapping[int, Mapping[str, Any]], paper: Mapping[int, float], out: Path) -> None:
    """Write distillation-jsma.png and distillation-amplitudes.png."""
    _success(rows, paper, out / "distillation-jsma.png")
    _amplitudes(rows, out / "distillation-amplitudes.png")


def _success(rows: Mapping[int, Mapping[str, Any]], paper: Mapping[int, float], path: Path) -> None:
    """Success against temperature: what looks at the softmax falls, what looks at the logits does not."""
    names = [_name(T) for T in rows]
    lines = {
        "JSMA on the softmax": ([100 * row["jsma"]["success"] for row in rows.values()], "tab:blue", "o-"),
        "the same, Papernot et al.": ([paper[T] for T in rows], "tab:blue", "s:"),
        "JSMA on the softmax of z / T": (
            [100 * row["jsma_cooled"]["success"] for row in rows.values()],
            "tab:red",
            "s--",
        ),
        "JSMA on the logits z": ([100 * row["jsma_logits"]["success"] for row in rows.values()], "tab:red", "o-"),
        "margin PGD, Linf 0.25": ([100 * (1 - row["pgd_margin"]) for row in rows.values()], "tab:orange", "^-"),
        "Carlini-Wagner L2": ([100 * row["carlini_wagner"]["success"] for row in rows.values()], "tab:green", "v-"),
    }
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    for label, (values, color, style) in lines.items():
        axes.plot(names, values, style, color=color, label=label)
    axes.set_xlabel("temperature of the distillation")
    axes.set_ylabel("success, %")
    axes.set_ylim(-3, 104)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(0.5, 0.55))
    axes.set_title("Defensive distillation: the same nets, seen by their softmax and by their logits")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _amplitudes(rows: Mapping[int, Mapping[str, Any]], path: Path) -> None:
    """The share of test digits in each bin of amplitude, a bar for each temperature."""
    edges = ["0", *(f"1e{power:.0f}" for power in BINS), "1"]
    colors = plt.get_cmap("viridis")
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    names = [_name(T) for T in rows]
    left = [0.0] * len(rows)
    for number, (low, high) in enumerate(pairwise(edges)):
        widths = [100 * row["bins"][number] for row in rows.values()]
        color = colors(number / (len(edges) - 2))
        axes.barh(names, widths, left=left, color=color, label=f"{low} to {high}", edgecolor="white", linewidth=0.4)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of 2,000 test digits, %")
    axes.set_ylabel("temperature")
    axes.set_title("Mean amplitude of the gradient of the softmax at T = 1")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _name(temperature: int) -> str:
    return "none" if temperature == 0 else str(temperature)
