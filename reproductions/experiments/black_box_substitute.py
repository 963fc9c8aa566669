"""A black box is robbed of its labels: 4,800 questions, a substitute, and FGSM on that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from PIL.Image import Image

from reproductions.answers import about, answers, percent
from reproductions.experiment import Bar, Experiment
from reproductions.experiments.black_box_substitute_theft import AUGMENTATIONS, CLASSES, Oracle, Theft, steal
from reproductions.experiments.transferability_matrix_kinds import FIVE, learned, noises
from reproductions.lab import Lab
from reproductions.pictures import sheet
from reproductions.samples import samples

SEEDS: Final = 150
QUERIES: Final = SEEDS * 2**AUGMENTATIONS
EPSILONS: Final = (0.1, 0.2, 0.3)
# The kinds that the bars are about; trees and neighbours are shown beside them.
JUDGED: Final = ("DNN", "LR", "SVM")
PAPER: Final = {"DNN": "84.24 % (MetaMind's classifier, 6,400 queries)"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was done to one oracle. Shares of the N measured digits, by epsilon; 0 for the clean ones."""

    theft: Theft
    oracle: Oracle
    agreement: tuple[float, ...]  # of each round's substitute with the oracle
    misclassified: Mapping[float, float]  # examples of the substitute that the oracle gets wrong
    noise: Mapping[float, float]  # of two kinds of noise, the one that does more
    fooled: Mapping[float, float]  # examples whose answer by the substitute itself is another
    shown: tuple[np.ndarray, np.ndarray]  # (4, N, C, H, W) clean and by epsilon, and the oracle's answers (4, N)


def run(lab: Lab) -> None:
    """Rob each oracle, make examples, measure."""
    count = 500 if lab.quick else 1500
    seeds, _ = samples(lab, "mnist10k/test", count=SEEDS)
    x, y = samples(lab, "mnist10k/test", count=count, offset=SEEDS)
    kinds = ("DNN", "LR") if lab.quick else tuple(FIVE)
    oracles = learned(lab, kinds)
    found = {}
    for kind in kinds:
        oracle = Oracle(lab=lab, model=oracles[kind])
        theft = steal(lab, oracle, seeds, kind)
        found[kind] = measured(lab, oracle, theft, x, y)
        tell(lab, kind, found[kind], count)
    judge(lab, found)
    lab.figure(
        "epsilons", by_epsilon(found), "What the oracles get wrong, by epsilon: examples of the substitute, noise"
    )
    lab.figure("queries", by_queries(found), "How often the substitute answers as its oracle, by questions asked")
    lab.picture("examples", shown(found["DNN"]), "Digits as they are and at epsilon 0.1, 0.2, 0.3; the DNN's answers")


def measured(lab: Lab, oracle: Oracle, theft: Theft, x: np.ndarray, y: np.ndarray) -> Found:
    """Make examples on the last substitute, and ask oracle and substitute about them, and about noise.

    These are questions of whoever measures: they are not counted as the attacker's.
    """
    substitute = theft.substitutes[-1]
    held = lab.upload_data("digits to measure on", x, np.zeros(len(x), dtype=np.int64), classes=CLASSES)
    believed, clean = answers(lab, [substitute, oracle.model], held, count=len(x))
    data = lab.upload_data("digits as the substitute reads them", x, believed, classes=CLASSES)
    jobs = [lab.attacking(substitute, f"fgsm:epsilon={epsilon}", data=data, count=len(x)) for epsilon in EPSILONS]
    crafted = [found.arrays["x_adv"] for found in lab.attacked(*jobs)]
    noisy = [one for epsilon in EPSILONS for one in noises(x, epsilon, lab.seed).values()]
    own, told = about(
        lab, [substitute, oracle.model], "examples and noise", np.concatenate([*crafted, *noisy]), classes=CLASSES
    )
    own, told = own.reshape(-1, len(x)), told.reshape(-1, len(x))
    wrong = (told != y).mean(axis=1)
    error = float((clean != y).mean())
    return Found(
        theft=theft,
        oracle=oracle,
        agreement=agreement(lab, theft, x, clean),
        misclassified={0.0: error} | {e: float(wrong[i]) for i, e in enumerate(EPSILONS)},
        noise={0.0: error} | {e: float(wrong[3 + 2 * i :][:2].max()) for i, e in enumerate(EPSILONS)},
        fooled={e: float((own[i] != believed).mean()) for i, e in enumerate(EPSILONS)},
        shown=(np.stack([x, *crafted]), np.stack([clean, *told[:3]])),
    )


def agreement(lab: Lab, theft: Theft, x: np.ndarray, told: np.ndarray) -> tuple[float, ...]:
    """The share of pictures that each round's substitute reads as the oracle does."""
    data = lab.upload_data("digits as the oracle reads them", x, told, classes=CLASSES)
    rows = lab.evaluate(theft.substitutes, data=data, count=len(x))
    shares = {row.model: row.clean_accuracy.value for row in rows}
    return tuple(shares[model] for model in theft.substitutes)


def tell(lab: Lab, kind: str, found: Found, count: int) -> None:
    """Fill the table."""
    for epsilon in EPSILONS:
        ours = f"{percent(found.misclassified[epsilon])} (noise: {percent(found.noise[epsilon])})"
        paper = PAPER.get(kind, "none for this kind") if epsilon == EPSILONS[-1] else "none at this epsilon"
        settings = f"{found.oracle.asked:,} labels, substitute 784-200-200-10, lambda 0.1"
        lab.row(f"{kind}: misclassified, FGSM({epsilon:g})", paper=paper, ours=ours, n=count, settings=settings)
    theft = found.theft
    lab.row(
        f"{kind}: substitute answers as the oracle does",
        paper="none at hand",
        ours=percent(found.agreement[-1]),
        n=count,
        settings=f"after {theft.queries[-1]:,} labels; it read {theft.disagreed} of {theft.points} points otherwise",
    )


def judge(lab: Lab, found: Mapping[str, Found]) -> None:
    """Hold the figures against the bars."""
    judged = {kind: one for kind, one in found.items() if kind in JUDGED}
    hard = ", ".join(f"{kind} {percent(one.misclassified[0.3])}" for kind, one in judged.items())
    lab.bar("misclassified", all(one.misclassified[0.3] >= 0.8 for one in judged.values()), hard)
    above = {kind: one.misclassified[0.2] - one.noise[0.2] for kind, one in judged.items()}
    points = ", ".join(f"{kind} {100 * rise:.1f} points" for kind, rise in above.items())
    lab.bar("above-noise", all(rise >= 0.3 for rise in above.values()), points)
    asked = {one.oracle.asked for one in found.values()}
    blind = all(one.oracle.labels_only for one in found.values())
    words = f"{', '.join(f'{one:,}' for one in sorted(asked))}; the log holds {'labels only' if blind else 'more'}"
    lab.bar("queries", asked == {QUERIES} and blind, words)


def by_epsilon(found: Mapping[str, Found]) -> Figure:
    """A panel for each oracle: what it gets wrong against epsilon."""
    figure = Figure(figsize=(2.6 * len(found) + 0.6, 3), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(found), sharey=True))
    for axes, (kind, one) in zip(panels, found.items(), strict=True):
        axes.plot(list(one.misclassified), [100 * share for share in one.misclassified.values()], "o-", color="tab:red")
        axes.plot(list(one.noise), [100 * share for share in one.noise.values()], "s--", color="tab:gray")
        axes.set_title(kind)
        axes.set_xlabel("epsilon")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("misclassified by the oracle, %")
    panels[0].set_ylim(0, 101)
    panels[0].legend(["FGSM on the substitute", "noise of the same size"], fontsize=7, loc="upper left")
    return figure


def by_queries(found: Mapping[str, Found]) -> Figure:
    """Agreement against the number of questions."""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for kind, one in found.items():
        axes.plot(one.theft.queries, [100 * share for share in one.agreement], "o-", label=kind)
    axes.set_xscale("log", base=2)
    axes.set_xticks(one.theft.queries, [f"{count:,}" for count in one.theft.queries])
    axes.set_xlabel("labels asked for")
    axes.set_ylabel("substitute answers as the oracle, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def shown(found: Found) -> Image:
    """Ten digits, clean and by epsilon, with the oracle's answers."""
    pictures, told = found.shown
    rows = [[(pictures[i, j], f"{told[i, j]}") for j in range(10)] for i in range(len(pictures))]
    return sheet(rows, side=56)


EXPERIMENT = Experiment(
    name="black-box-substitute",
    title="A black box robbed of its labels",
    papers=(("1602.02697", "Papernot, McDaniel, Goodfellow, Jha, Celik, Swami: Practical black-box attacks"),),
    data="mnist10k: the oracles learn 8,000 digits; the attacker has 150 test digits, others are measured on. "
    "The paper: MNIST, and classifiers of MetaMind, Amazon and Google.",
    bars=(
        Bar(
            key="misclassified",
            text="FGSM(.3) on the substitute: 80 % or more misclassified by the oracle, for DNN, LR and (full) SVM",
        ),
        Bar(
            key="above-noise",
            text="at epsilon .2 at least 30 points more than the worse of two kinds of noise, for the same oracles",
        ),
        Bar(key="queries", text="exactly 4,800 questions are asked, and the log of the answers holds labels only"),
    ),
    differs=(
        "Our oracles are models of the service, of which nothing is read but the predicted label.",
        (
            "The sign of the Jacobian's row is read from where FGSM moves each pixel of the substitute: away from the "
            "oracle's label, or towards it where the substitute reads the point otherwise. The result of FGSM is "
            "clipped, so a pixel at 0 or 1 that stays is taken for one that wanted to go beyond; so is one whose slope "
            "is exactly 0."
        ),
        "New points are clipped to [0, 1]; the paper's need not be pictures.",
        "The substitute is trained on from its weights of the round before; the paper leaves this open.",
        "Examples lead away from what the substitute itself says of a digit, which needs no true label.",
    ),
    run=run,
)
