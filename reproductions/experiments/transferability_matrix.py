"""What fools one kind of classifier fools the others: five kinds, each attacked in its own way, each shown to all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from reproductions.answers import about, answers, percent
from reproductions.experiment import Bar, Experiment
from reproductions.experiments.transferability_matrix_kinds import FIVE, learned, noises
from reproductions.lab import Lab
from reproductions.samples import samples

CLASSES: Final = 10
EPSILON: Final = 0.3
# The kind's own attack, in the words of the catalog, and in words.
ATTACKS: Final[Mapping[str, tuple[str, str]]] = {
    "DNN": (f"fgsm:epsilon={EPSILON}", "fast gradient sign, 0.3"),
    "LR": (f"fgsm:epsilon={EPSILON}", "fast gradient sign, 0.3"),
    "SVM": ("fgsm:epsilon=5,norm=l2", "a step of length 5 in L2 down the scores' slope"),
    "DT": ("tree_walk", "walk to the nearest leaf of another class"),
    "kNN": (
        f"nearest_neighbor:epsilon={EPSILON},steps=1,temperature=10",
        "fast gradient sign on the smoothed neighbour, 0.3",
    ),
}
# arXiv:1605.07277, as recalled: percent of a row's examples that the column's model misclassifies, on full MNIST.
PAPER: Final = {
    "DNN": (38.27, 23.02, 64.32, 79.31, 8.36),
    "LR": (6.31, 91.64, 91.43, 87.42, 11.29),
    "SVM": (2.51, 36.56, 100.0, 80.03, 5.19),
    "DT": (0.82, 12.22, 8.85, 89.29, 3.31),
    "kNN": (11.75, 42.89, 82.16, 82.95, 41.65),
}
NOISES: Final = {"uniform": "noise: uniform, 0.3", "signs": "noise: -0.3 or 0.3"}
# A row for each kind and each noise, a column for each kind: the share of answers that changed.
Matrix = Mapping[str, Mapping[str, float]]


def run(lab: Lab) -> None:
    """Fit the five, attack each, show all of it to all."""
    count = 500 if lab.quick else 2000
    x, y = samples(lab, "mnist10k/test", count=count)
    models = learned(lab, FIVE)
    held = lab.upload_data("digits", x, y, classes=CLASSES)
    clean = dict(zip(FIVE, answers(lab, list(models.values()), held, count=count), strict=True))
    crafted = {name: own_attack(lab, name, models[name], x, clean[name]) for name in FIVE}
    shown = {**crafted, **noises(x, EPSILON, lab.seed)}
    told = about(lab, list(models.values()), "all examples", np.concatenate(list(shown.values())), classes=CLASSES)
    by_kind = {name: one.reshape(len(shown), count) for name, one in zip(FIVE, told, strict=True)}
    matrix = {
        row: {column: float((by_kind[column][number] != clean[column]).mean()) for column in FIVE}
        for number, row in enumerate(shown)
    }
    errors = ", ".join(f"{name} {percent(float((clean[name] != y).mean()))}" for name in FIVE)
    pixels = float((crafted["DT"] != x).reshape(count, -1).sum(axis=1).mean())
    tell(lab, matrix, count, errors, pixels)
    judge(lab, matrix)
    lab.figure("matrix", drawn(matrix), "Answers that change, in percent; in brackets the paper's figures")


def own_attack(lab: Lab, name: str, model: str, x: np.ndarray, believed: np.ndarray) -> np.ndarray:
    """What a kind's attack makes of digits, away from what the model says of them; it needs no true label."""
    data = lab.upload_data(f"digits as the {name} reads them", x, believed, classes=CLASSES)
    return lab.attack(model, ATTACKS[name][0], data=data, count=len(x)).arrays["x_adv"]


def tell(lab: Lab, matrix: Matrix, count: int, errors: str, pixels: float) -> None:
    """Fill the table."""
    heads = " / ".join(FIVE)
    for name, row in matrix.items():
        ours = " / ".join(f"{100 * row[kind]:.1f}" for kind in FIVE)
        paper = " / ".join(f"{value:.1f}" for value in PAPER[name]) if name in PAPER else "none"
        title = f"made for {name}" if name in PAPER else NOISES[name]
        settings = ATTACKS[name][1] if name in PAPER else "no attack: the baseline"
        lab.row(f"{title}; percent of {heads}", paper=paper, ours=ours, n=count, settings=settings)
    lab.row("errors on clean digits", paper="none at hand", ours=errors, n=count, settings="8,000 digits learned")
    lab.row("pixels that the walk changes", paper="none at hand", ours=f"{pixels:.2f}", n=count, settings="on average")


def judge(lab: Lab, matrix: Matrix) -> None:
    """Hold the figures against the bars."""
    rows = ("DNN", "LR", "SVM", "kNN")
    hardest = {name: min(matrix[name], key=matrix[name].__getitem__) for name in rows}
    words = ", ".join(f"{name}: {kind} ({percent(matrix[name][kind])})" for name, kind in hardest.items())
    lab.bar("hardest", set(hardest.values()) == {"kNN"}, words)
    others = [kind for kind in FIVE if kind != "DT"]
    lowest = all(matrix["DT"][kind] == min(matrix[name][kind] for name in FIVE) for kind in others)
    lab.bar("walk", lowest, ", ".join(f"{kind} {percent(matrix['DT'][kind])}" for kind in others))
    column = min(matrix[name]["DT"] for name in FIVE)
    noise = max(matrix[name]["DT"] for name in NOISES)
    lab.bar("tree", column >= 0.75, f"{percent(column)} at least; noise alone {percent(noise)}")
    above = {name: matrix[name][name] - max(matrix[noise][name] for noise in NOISES) for name in FIVE}
    points = ", ".join(f"{name} {100 * rise:+.1f}" for name, rise in above.items())
    lab.bar("above-noise", min(above.values()) > 0, f"{points} points")


def drawn(matrix: Matrix) -> Figure:
    """The matrix as a picture, the paper's figures in brackets."""
    figure = Figure(figsize=(6.4, 5), layout="constrained")
    axes = figure.subplots()
    values = 100 * np.array([[row[kind] for kind in FIVE] for row in matrix.values()])
    image = axes.imshow(values, cmap="Reds", vmin=0, vmax=100, aspect="auto")
    for i, (name, row) in enumerate(zip(matrix, values.tolist(), strict=True)):
        for j, value in enumerate(row):
            paper = f"\n({PAPER[name][j]:.1f})" if name in PAPER else ""
            shade = "white" if value > 60 else "black"
            axes.text(j, i, f"{value:.1f}{paper}", ha="center", va="center", color=shade, fontsize=8)
    axes.set_xticks(range(len(FIVE)), list(FIVE))
    axes.set_yticks(range(len(matrix)), [name if name in PAPER else NOISES[name] for name in matrix])
    axes.set_xlabel("shown to")
    axes.set_ylabel("made for")
    axes.axhline(len(PAPER) - 0.5, color="black", linewidth=1)
    figure.colorbar(image, label="answers that change, %")
    return figure


EXPERIMENT = Experiment(
    name="transferability-matrix",
    title="What fools one kind of classifier fools the others",
    papers=(("1605.07277", "Papernot, McDaniel, Goodfellow: Transferability in machine learning"),),
    data="mnist10k: 8,000 digits learned, test digits attacked. The paper: full MNIST.",
    bars=(
        Bar(key="hardest", text="nearest neighbours are the hardest target of what is made for DNN, LR, SVM and kNN"),
        Bar(key="walk", text="what is made for the tree transfers least to every other kind"),
        Bar(key="tree", text="the tree changes its answer about 75 % or more of whatever is made for anybody"),
        Bar(key="above-noise", text="each attack changes more answers of its own model than noise of its size does"),
    ),
    differs=(
        "Counted are answers that change; the paper counts misclassified examples. It is on full MNIST, as recalled.",
        "The step against the machines goes down the slope of their cross-entropy; the paper's goes along w_k alone.",
        "The walk ends in the nearest of all leaves, the paper's in the nearest up the tree.",
        "The temperature of the smoothed neighbour is 10, where distances are some 30 to 60; the paper has 1.",
        "Results are clipped to [0, 1]. There is no ensemble column.",
    ),
    run=run,
)
