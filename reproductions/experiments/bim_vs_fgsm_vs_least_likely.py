"""FGSM, the basic iterative method and the least-likely class against epsilon (arXiv:1607.02533, section 2).

On digits the whole curve; on 20 photographs the paper's grey levels with its exact numbers of iterations, judged as
files hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from sparring.v1.jobs_pb2 import ResultRow

from reproductions.answers import percent
from reproductions.experiment import Bar, Experiment
from reproductions.experiments.bim_vs_fgsm_vs_least_likely_pictures import photographs
from reproductions.lab import Lab

RADII: Final = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
METHODS: Final = {"fgsm": "fgsm", "bim": "bim:steps=20", "iterative_least_likely": "iterative_least_likely:steps=20"}
# Where the single step has not won yet, and how far below it the iterated one is to be.
MIDDLE, GAP = 0.15, 0.1


def run(lab: Lab) -> None:
    """Digits, then photographs."""
    digits(lab)
    photographs(lab)


def digits(lab: Lab) -> None:
    """One net, three curves, and noise of the same size."""
    count = 500 if lab.quick else 2000
    model = lab.train("wong_cnn", architecture="wong_cnn", optimization={"epochs": 10})
    curves = [(attack, RADII[1:]) for attack in METHODS.values()]
    rows = lab.evaluate([model], count=count, curves=curves)
    left = {(row.attack, round(row.epsilon, 6)): row for row in rows if row.curve}
    for method in METHODS:
        counted = "does not become the target" if method == "iterative_least_likely" else "is read rightly"
        told = ", ".join(f"{radius:g}: {percent(right(left[method, radius]))}" for radius in RADII[1:])
        lab.row(
            f"digits under {method}: share that {counted} by epsilon",
            paper="curves on ImageNet only; no table",
            ours=told,
            n=count,
            settings="wong_cnn, 10 epochs; 20 steps of epsilon / 8 where iterated, clipped to [0, 1]",
        )
    worst = max(right(left["bim", radius]) - right(left["fgsm", radius]) for radius in RADII[1:])
    lab.bar("digits-order", worst <= 0, f"largest excess of BIM over FGSM {100 * worst:.1f} points")
    basic, fast = (right(left[method, MIDDLE]) for method in ("bim", "fgsm"))
    lab.bar("digits-gap", basic <= fast - GAP, f"{percent(basic)} against {percent(fast)}")
    hit = 1 - right(left["iterative_least_likely", 0.3])
    lab.row(
        "digits that become their least likely class at epsilon .3",
        paper="none for digits",
        ours=percent(hit),
        n=count,
        settings="wong_cnn, 20 steps of epsilon / 8",
    )
    lab.figure("digits", drawn(rows), "Digits: accuracy against epsilon for the three methods")


def right(row: ResultRow) -> float:
    """Accuracy under the attack; for a target, the share that does not become it."""
    return float(row.robust_accuracy.value)


def drawn(rows: Sequence[ResultRow]) -> Figure:
    """The curves; the least-likely class counts what does not become it."""
    figure = Figure(figsize=(5.5, 3.4), layout="constrained")
    axes = figure.add_subplot()
    clean = next(row for row in rows if row.attack == "clean")
    names = {"fgsm": "FGSM: right", "bim": "BIM: right", "iterative_least_likely": "does not become the least likely"}
    for method, words in names.items():
        held = sorted((row.epsilon, right(row)) for row in rows if row.curve and row.attack == method)
        start = [(0.0, clean.clean_accuracy.value if method != "iterative_least_likely" else 1.0)]
        at, share = np.array(start + held).T
        axes.plot(at, 100 * share, marker="o", label=words)
    axes.set(xlabel="epsilon", ylabel="% of digits", ylim=(0, 101))
    axes.legend(fontsize=8)
    return figure


EXPERIMENT: Final = Experiment(
    name="bim-vs-fgsm-vs-least-likely",
    title="One step, many steps, and the least likely class",
    papers=(("1607.02533", "Kurakin, Goodfellow, Bengio, Adversarial Examples in the Physical World (2016)"),),
    data="mnist10k: 10,000 digits of MNIST, not full MNIST; 20 pictures of ImageNet in place of 50,000",
    bars=(
        Bar(key="digits-order", text="digits: BIM leaves no more than FGSM at any epsilon"),
        Bar(key="digits-gap", text="digits: at epsilon .15 BIM leaves at least 10 points less than FGSM"),
        Bar(key="steps", text="photographs: 3, 5, 10, 20 iterations at 2, 4, 8, 16 grey levels"),
        Bar(key="ball", text="photographs: no grey level of a file is off by more than epsilon"),
        Bar(key="basic", text="photographs: BIM leaves 0 of 20 right at 16 grey levels"),
        Bar(key="least-likely", text="photographs: at least 18 of 20 become the least likely class at 16"),
        Bar(key="fast", text="photographs: FGSM leaves at most 6 of 20 right at every epsilon"),
        Bar(key="noise", text="photographs: noise of the same size leaves at least 16"),
    ),
    differs=(
        "Inception v3 and 50,000 pictures are not at hand: EfficientNet-Lite0 on 20, in steps of five points.",
        "The first guess is counted, and not the first five: the service answers with one class.",
        (
            "The service keeps the first step that reaches its goal, where the paper takes the last: what is right at "
            "the end is the same, how sure the network is of its error is not."
        ),
        "The curve on digits is ours; the paper has none.",
    ),
    run=run,
)
