"""How small the gradient of a distilled net's softmax becomes: Papernot's bins of amplitudes (arXiv:1511.04508, VI).

The amplitude of a digit is the mean over classes k and pixels j of |dF_k / dx_j|, F = softmax(z) as it is deployed, at
T = 1. At T = 100 it is far below what a float64 holds, so it is computed in logarithms, here and not by the service, on
the weights that the service trained: see `distillation_gradients_amplitudes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from reproductions.answers import percent
from reproductions.experiment import Bar, Experiment
from reproductions.experiments.distillation_gradients_amplitudes import amplitudes
from reproductions.experiments.distillation_temperature_nets import (
    NONE,
    QUICK,
    SETTINGS,
    TEMPERATURES,
    called,
    trained,
)
from reproductions.lab import Lab
from reproductions.samples import samples

TEST: Final = 2000
# Edges between the bins, as powers of ten; the paper's first bin is 0 to 1e-40, here cut in three.
EDGES: Final = (-300.0, -100.0, -40.0, -30.0, -20.0, -10.0, -5.0, -3.0)
PAPERS_SMALLEST: Final = -40.0
# Where float32, in which attacks compute, and float64 end, as powers of ten.
FLOAT32: Final = -149 * np.log10(2)
FLOAT64: Final = -1074 * np.log10(2)


def run(lab: Lab) -> None:
    """Train the nets, or find them trained, and measure."""
    nets = trained(lab, QUICK if lab.quick else TEMPERATURES)
    x, _ = samples(lab, "mnist10k/test", count=TEST)
    powers = {T: amplitudes(lab.weights(model), x) for T, model in nets.items()}
    tell(lab, powers)
    judge(lab, powers)
    lab.figure("amplitudes", drawn(powers), "Share of test digits by the size of the gradient of the softmax")


def below(powers: np.ndarray, power: float) -> float:
    """Share of the digits whose amplitude is below a power of ten."""
    return float((powers < power).mean())


def middle(powers: np.ndarray) -> str:
    """The median, as a power of ten."""
    return f"1e{np.median(powers):.0f}"


def tell(lab: Lab, powers: Mapping[int, np.ndarray]) -> None:
    """Fill the table."""
    for T, found in powers.items():
        paper = "none: the paper shows bins as a histogram of 10,000 pictures of CIFAR-10, no numbers"
        if max(powers) == T:
            paper = "gradients smaller by 1e30 (abstract); most of CIFAR-10 in the bin 0 to 1e-40 (figure)"
        shares = f"{percent(below(found, PAPERS_SMALLEST))} below 1e-40, {percent(below(found, FLOAT32))} below"
        lab.row(
            f"{called(T)}: median amplitude",
            paper=paper,
            ours=f"{middle(found)}; {shares} what float32 holds, {percent(below(found, FLOAT64))} float64",
            n=TEST,
            settings=f"{SETTINGS}; deployed at T = 1",
        )


def judge(lab: Lab, powers: Mapping[int, np.ndarray]) -> None:
    """Hold the figures against the bars."""
    distilled = {T: found for T, found in powers.items() if T != NONE}
    cold, hot = distilled[min(distilled)], distilled[max(distilled)]
    fall = float(np.median(cold) - np.median(hot))
    lab.bar("fall", fall >= 30, f"{middle(cold)} to {middle(hot)}: by 1e{fall:.0f}")
    medians = [float(np.median(found)) for found in distilled.values()]
    steps = ", ".join(f"{called(T)}: {middle(found)}" for T, found in distilled.items())
    lab.bar("every-step", all(colder > hotter for colder, hotter in pairwise(medians)), steps)
    smallest = [below(found, PAPERS_SMALLEST) for found in distilled.values()]
    lab.bar(
        "smallest-bin",
        all(colder <= hotter for colder, hotter in pairwise(smallest)) and smallest[-1] >= 0.5,
        ", ".join(f"{called(T)}: {percent(share)}" for T, share in zip(distilled, smallest, strict=True)),
    )
    zeros = below(hot, FLOAT32)
    lab.bar("float32", zeros >= 0.5, f"{percent(zeros)} at {called(max(distilled))}")


def drawn(powers: Mapping[int, np.ndarray]) -> Figure:
    """The share of the digits in each bin, a bar for each net."""
    ends = ["0", *(f"1e{edge:.0f}" for edge in EDGES), "1"]
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    names = [called(T) for T in powers]
    left = np.zeros(len(powers))
    for number, (low, high) in enumerate(pairwise(ends)):
        widths = np.array([100 * (np.digitize(found, EDGES) == number).mean() for found in powers.values()])
        colour = colormaps["viridis"](number / (len(ends) - 2))
        axes.barh(names, widths, left=left, color=colour, label=f"{low} to {high}", edgecolor="white", linewidth=0.4)
        left += widths
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"share of {TEST:,} test digits, %")
    axes.set_title("Mean amplitude of the gradient of the softmax at T = 1", fontsize=10)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


EXPERIMENT = Experiment(
    name="distillation-gradients",
    title="The gradients that defensive distillation hides",
    papers=(
        ("1511.04508", "Papernot, McDaniel, Wu, Jha, Swami: Distillation as a defense to adversarial perturbations"),
    ),
    data="mnist10k: 8,000 training and all 2,000 test digits. The paper's figure: 10,000 test pictures of CIFAR-10.",
    bars=(
        Bar(key="fall", text="the median amplitude falls by 1e30 or more from T = 1 to T = 100"),
        Bar(key="every-step", text="and falls from each temperature to the next"),
        Bar(
            key="smallest-bin",
            text="the paper's smallest bin, 0 to 1e-40, fills with T, and holds half of the digits or more at T = 100",
        ),
        Bar(key="float32", text="at T = 100 the gradient is exactly 0 in float32 for half of the digits or more"),
    ),
    differs=(
        (
            "Digits and the net 784-200-200-10 in place of CIFAR-10 and a convolutional net. Mean logits of some "
            "hundreds at T = 100, as here, give amplitudes far below the paper's smallest bin, which is cut in three."
        ),
        "Computed in logarithms: with the softmax in float32, or even float64, the smallest bins are rounding.",
        "The quick form has T = none, 1, 10, 40 and 100.",
    ),
    run=run,
)
