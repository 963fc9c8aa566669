"""The picture of `other_models.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

NAMES = {
    "softmax_regression": "softmax\nregression",
    "linear_svm": "linear\nSVM",
    "rbf_svm": "RBF\nSVM",
    "nearest_neighbors": "nearest\nneighbour",
    "decision_tree": "decision\ntree",
    "random_forest": "random\nforest",
}
BARS = (
    ("undefended, own attack", "tab:gray"),
    ("refitted: copies it learned", "tab:green"),
    ("refitted: the old attack", "tab:blue"),
    ("refitted: a fresh attack", "tab:red"),
    ("refitted: a stronger attack", "darkred"),
)


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Left: error of each kind before and after refitting. Right: linear models, error against the sum of weights."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.6), width_ratios=(2.1, 1))
    _kinds(left, results)
    _linear(right, results["linear"])
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _kinds(axes: Any, results: Mapping[str, Any]) -> None:
    rows = [
        (row["own"][0], row["memorised"], row["old"], row["own"][1], row["beside"][1])
        for row in results["kinds"].values()
    ]
    width = 0.16
    for number, (label, color) in enumerate(BARS):
        places = [at + (number - 2) * width for at in range(len(rows))]
        axes.bar(places, [100 * row[number] for row in rows], width, label=label, color=color)
    net = results["nets"]["pgd_adversarial"]
    for value, words, style in ((net["own"], "FGSM", "--"), (net["beside"], "PGD-40", ":")):
        label = f"net trained against PGD, {words}: {100 * value:.0f} %"
        axes.axhline(100 * value, color="black", linestyle=style, linewidth=1, label=label)
    axes.set_xticks(range(len(rows)), [NAMES[name] for name in results["kinds"]])
    axes.set_ylabel("error, %")
    axes.set_ylim(0, 128)
    axes.set_yticks(range(0, 101, 20))
    axes.legend(ncol=3, fontsize=8, loc="upper center")
    axes.set_title("Adversarial refitting at L-infinity 0.25")


def _linear(axes: Any, linear: Mapping[str, Any]) -> None:
    for rows, label, style in (
        (linear["trained"], "trained against FGSM", "o-"),
        (linear["decayed"], "weight decay alone", "s--"),
    ):
        axes.plot([row["l1"] for row in rows], [100 * row["fgsm"] for row in rows], style, color="tab:red")
        axes.plot([row["l1"] for row in rows], [100 * row["clean"] for row in rows], style, color="tab:gray")
        axes.plot([], [], style, color="black", label=label)
    axes.plot([], [], color="tab:red", label="FGSM, epsilon 0.25")
    axes.plot([], [], color="tab:gray", label="clean")
    axes.set_xscale("log")
    axes.set_xlabel("sum of absolute weights")
    axes.set_ylabel("error, %")
    axes.set_ylim(0, 104)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(0.02, 0.45))
    axes.set_title("Softmax regression, 10 classes")
