"""The tutorial's four curves: trained clean or on FGSM examples, tested clean or on FGSM examples, epoch by epoch.

A training that stops after e epochs at a constant rate is the beginning of one that goes on, as all that is random is
drawn by the seed and the number of the epoch. So each point of a curve is a training of its own; nothing is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from reproductions.answers import percent
from reproductions.experiment import Bar, Experiment
from reproductions.experiments.fgsm_nets import ATTACK, EPSILON, digits, errors
from reproductions.lab import Lab
from reproductions.wide import QUARTER

QUICK: Final = (1, 2, 4, 8, 16)
FULL: Final = (1, 2, 4, 8, 14, 24, 40)
STEPS: Final = 20
PGD: Final = (
    f"pgd:epsilon={QUARTER.epsilon(EPSILON)!r},steps={STEPS},step_size={QUARTER.epsilon(2.5 * EPSILON / STEPS)!r}"
)
KINDS: Final = {"clean": "standard", "adversarial": "fgsm_adversarial"}
# Error by (trained on, tested on), one for each number of epochs.
Curves = Mapping[tuple[str, str], Sequence[float]]
TESTED: Final = {"clean": "clean", "fgsm": "adversarial", "pgd": "PGD"}


def run(lab: Lab) -> None:
    """Train both nets for each number of epochs, and test them on everything."""
    epochs = QUICK if lab.quick else FULL
    held = digits(lab)
    ε = QUARTER.epsilon(EPSILON)
    jobs = {
        (kind, count): lab.training(
            f"{kind}, {count} epochs",
            data=held.train,
            architecture="maxout_mlp",
            defense=defense,
            parameters={} if defense == "standard" else {"epsilon": ε, "attack_label": "true"},
            optimization={"epochs": count, "learning_rate": 1e-3, "schedule": "constant"},
            mean=QUARTER.mean,
            std=QUARTER.std,
        )
        for count in epochs
        for kind, defense in KINDS.items()
    }
    models = dict(zip((f"{kind} {count}" for kind, count in jobs), lab.models(*jobs.values()), strict=True))
    judged = errors(lab, models, [ATTACK], held.test, 2000)
    stronger = errors(lab, models, [PGD], held.test, 200 if lab.quick else 1000)
    judged |= {case: found for case, found in stronger.items() if case[1] == "pgd"}
    curves = {
        (kind, attack): [judged[f"{kind} {count}", attack][0] for count in epochs]
        for kind in KINDS
        for attack in TESTED
    }
    tell(lab, curves, epochs)
    judge(lab, curves)
    lab.figure("curves", drawn(curves, epochs), "Error by epochs: the tutorial's four curves, and PGD")


def tell(lab: Lab, curves: Curves, epochs: Sequence[int]) -> None:
    """A line for each curve."""
    paper = {
        ("clean", "clean"): "about 1%",
        ("clean", "fgsm"): "stays at about 90%",
        ("adversarial", "clean"): "at or below trained clean, tested clean",
        ("adversarial", "fgsm"): "falls to 10 to 20%",
    }
    for (kind, attack), errors_at in curves.items():
        lab.row(
            f"trained {kind}, tested {TESTED[attack]}: error by epochs",
            paper=paper.get((kind, attack), "none (one step only)"),
            ours=", ".join(f"{count}: {percent(error)}" for count, error in zip(epochs, errors_at, strict=True)),
            n=2000 if attack != "pgd" else (200 if lab.quick else 1000),
            settings="maxout 240 x 2, Adam .001, FGSM .25 not clipped"
            if attack != "pgd"
            else f"PGD .25, {STEPS} steps, not clipped",
        )


def judge(lab: Lab, curves: Curves) -> None:
    """Hold the ends of the curves, and the fall of the last, against the bars."""
    end = {case: found[-1] for case, found in curves.items()}
    plain, both = end["clean", "fgsm"], end["adversarial", "fgsm"]
    lab.bar("plain", plain >= 0.85, percent(plain))
    lab.bar("hardened", both <= 0.25, percent(both))
    apart = end["adversarial", "clean"] - end["clean", "clean"]
    lab.bar("clean", abs(apart) <= 0.01, f"{100 * apart:+.1f} points")
    smooth = smoothed(curves["adversarial", "fgsm"])
    rises = float(np.diff(smooth).max())
    lab.bar("falls", rises <= 0, ", ".join(percent(value) for value in smooth))
    lab.bar("pgd", end["adversarial", "pgd"] >= 0.90, percent(end["adversarial", "pgd"]))
    lab.explain(
        "clean",
        "The paper's gain on clean digits needs full MNIST and long training, and so many digits less make the two "
        "nets differ by chance; the error under FGSM is what is held.",
    )


def smoothed(values: Sequence[float]) -> np.ndarray:
    """Means of neighbours, (n - 1,)."""
    held = np.asarray(values)
    means: np.ndarray = (held[1:] + held[:-1]) / 2
    return means


def drawn(curves: Curves, epochs: Sequence[int]) -> Figure:
    """The curves on a logarithmic axis, as in the tutorial."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for (kind, attack), values in curves.items():
        style = {"clean": "-", "fgsm": "--", "pgd": ":"}[attack]
        color = "C0" if kind == "clean" else "C3"
        axes.plot(epochs, values, style, color=color, marker="o", label=f"trained {kind}, tested {TESTED[attack]}")
    axes.set(xlabel="epochs", ylabel="error", xscale="log", yscale="log", ylim=(0.01, 1.2))
    axes.set_xticks(epochs, [str(count) for count in epochs])
    axes.minorticks_off()
    axes.legend(fontsize=7)
    return figure


EXPERIMENT: Final = Experiment(
    name="adversarial-training-curves",
    title="The four curves of adversarial training",
    papers=(
        ("1412.6572", "Goodfellow, Shlens, Szegedy, Explaining and Harnessing Adversarial Examples (2014), section 6"),
        ("", "I. Goodfellow's talk, whose figure the tutorial shows"),
        ("1706.06083", "Madry and others (2017), for the PGD beside it"),
    ),
    data="mnist10k: 10,000 digits of MNIST, not full MNIST",
    bars=(
        Bar(key="plain", text="trained clean, tested adversarial: error at least 85 % at the end"),
        Bar(key="hardened", text="trained adversarial, tested adversarial: at most 25 % at the end"),
        Bar(key="clean", text="tested clean, the two nets differ by at most 1 point at the end"),
        Bar(key="falls", text="trained and tested adversarial: falls, smoothed over neighbours"),
        Bar(key="pgd", text="trained adversarial, tested under PGD, drawn beside the four: at least 90 % at the end"),
    ),
    differs=(
        "8,000 digits and at most 40 epochs; the talk's figure has 300.",
        "A point of a curve is a training of so many epochs from the same seed, at a constant rate.",
        "Nothing is clipped to [0, 1], as in the paper; examples are made with the true label.",
        "The PGD curve is ours: one step does not see that FGSM training masks gradients.",
    ),
    run=run,
)
