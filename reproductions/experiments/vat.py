"""Virtual adversarial training: 100 labels and 7,900 pictures without, and then all 8,000 labels.

The loss is that of arXiv:1704.03976, equations 5 to 12; what is compared is a net that differs in the weight of the
smoothness alone: the same labels, as many updates, the same optimiser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from sparring.v1.jobs_pb2 import Job
from sparring.values import Value

from reproductions.answers import errors, percent
from reproductions.experiment import Bar, Experiment
from reproductions.lab import Lab
from reproductions.samples import samples

EPSILON: Final = 0.1
RADII: Final = (0.02, 0.05, EPSILON, 0.15, 0.2)
PGD: Final = f"pgd:epsilon={EPSILON},steps=20,step_size=0.0125"
# The smoothness weighs so little that it is not there, and the labels that are read are the same.
NONE: Final = 1e-9
CONSTANT: Final[dict[str, Value | None]] = {"learning_rate": 1e-3, "schedule": "constant", "average_decay": 0.998}
# Labels that are read in the check that no other is, digits of it, wrong labels in each draw, and draws.
READ, DIGITS, WRONG, DRAWS = 10, 2000, 20, 5
NAMES: Final = {
    "few": "100 labels, supervised",
    "few-vat": "100 labels, VAT",
    "all": "8,000 labels, supervised",
    "all-vat": "8,000 labels, VAT",
}
Figures = Mapping[str, Sequence[Mapping[str, float]]]


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long it is trained: `epochs` (in fives) of 32 updates with few labels, `whole` of 80 updates with all."""

    seeds: int
    epochs: int
    whole: int


QUICK: Final = Length(seeds=1, epochs=50, whole=8)
FULL: Final = Length(seeds=3, epochs=300, whole=20)


def run(lab: Lab) -> None:
    """Train four nets for each seed, judge them on all 2,000 test digits."""
    length = QUICK if lab.quick else FULL
    trained = [trainings(lab, lab.seed + number, length) for number in range(1, length.seeds + 1)]
    names = {case: lab.models(*(jobs[case] for jobs in trained)) for case in NAMES}
    figures = measured(lab, names)
    settings = f"{32 * length.epochs:,} updates; 8,000 labels: {80 * length.whole:,}; {length.seeds} seed(s)"
    tell(lab, figures, settings)
    judge(lab, figures, unread(lab))
    lab.figure("errors", drawn(figures), "Errors of the four nets, and against the radius of FGSM")


def trainings(lab: Lab, seed: int, length: Length) -> dict[str, Job]:
    """Ask for the four nets of a seed."""
    smooth: dict[str, Value | None] = {
        "radius": 0.3,
        "xi": 1e-6,
        "power_iterations": 1,
        "labelled": 100,
        "labelled_batch": 100,
    }
    few: dict[str, Any] = {"architecture": "mlp_bn", "defense": "virtual_adversarial", "seed": seed}
    whole: dict[str, Value | None] = {"epochs": length.whole, "batch_size": 100, "learning_rate": 2e-3}
    return {
        # Batches of 100 pictures make two and a half times as many updates of an epoch, and each costs half.
        "few": lab.training(
            "supervised, 100 labels",
            parameters=smooth | {"weight": NONE},
            optimization=CONSTANT | {"epochs": 2 * length.epochs // 5, "batch_size": 100},
            **few,
        ),
        "few-vat": lab.training(
            "VAT, 100 labels",
            parameters=smooth | {"weight": 1},
            optimization=CONSTANT | {"epochs": length.epochs, "batch_size": 250},
            **few,
        ),
        "all": lab.training("supervised, 8,000 labels", architecture="mlp_bn", optimization=whole, seed=seed),
        "all-vat": lab.training(
            "VAT, 8,000 labels",
            architecture="mlp_bn",
            defense="virtual_adversarial",
            parameters={"radius": 2.1, "xi": 1e-6, "power_iterations": 1, "weight": 1},
            optimization=whole,
            seed=seed,
        ),
    }


def measured(lab: Lab, names: Mapping[str, Sequence[str]]) -> dict[str, list[dict[str, float]]]:
    """Errors of every net by the keys of `errors`: clean, under FGSM by its radius, and under PGD."""
    models = [model for several in names.values() for model in several]
    found = errors(lab.evaluate(models, count=2000, attacks=[PGD], curves=[("fgsm", RADII)]))
    return {case: [found[model] for model in several] for case, several in names.items()}


def unread(lab: Lab) -> tuple[int, bool]:
    """In how many of the draws wrong labels left the weights as they were, and whether all labels wrong did not.

    Of 2,000 digits 10 labels are read, which the service draws. A wrong label in one of 20 places can change the draw
    itself, or be drawn: with a probability of a fifth for all 20 together, so not every draw can leave the weights.
    """
    x, y = samples(lab, "mnist10k/train", count=DIGITS)
    pictures, labels = np.round(255 * x).astype(np.uint8), [y]
    for draw in range(DRAWS):
        noise = np.random.default_rng((lab.seed, draw))
        wrong, changed = noise.choice(DIGITS, WRONG, replace=False), y.copy()
        changed[wrong] = (y[wrong] + noise.integers(1, 10, WRONG)) % 10
        labels.append(changed)
    labels.append((y + 1) % 10)
    jobs = [
        lab.training(
            f"labels that are not read, {number}",
            data=lab.upload_data(f"labels {number}", pictures, own, classes=10),
            architecture="mlp_bn",
            defense="virtual_adversarial",
            parameters={"labelled": READ, "labelled_batch": READ, "weight": 1},
            optimization={"epochs": 1, "batch_size": 500},
        )
        for number, own in enumerate(labels)
    ]
    first, *others = [lab.weights(model) for model in lab.models(*jobs)]
    same = [all(np.array_equal(first[name], other[name]) for name in first) for other in others]
    return sum(same[:DRAWS]), not same[DRAWS]


def tell(lab: Lab, figures: Figures, settings: str) -> None:
    """Fill the table."""
    papers = {
        "few": "none at hand",
        "few-vat": "1.36 % (2017), 2.12 % (2015): full MNIST, 1,000 digits to validate on (recalled)",
        "all": "1.05 % with dropout (2015, recalled)",
        "all-vat": "0.64 % (2015, recalled)",
    }
    for case, title in NAMES.items():
        rows = figures[case]
        lab.row(f"{title}: error", paper=papers[case], ours=several(rows, "clean"), n=2000, settings=settings)
    for case, title in NAMES.items():
        both = f"{several(figures[case], 'fgsm 0.1')}; {several(figures[case], 'pgd 0.1')}"
        paper = "50 labels, FGM in L2: 9.9 % (a third party, arXiv:1711.07476)" if case == "few-vat" else "none"
        words = f"{title}: FGSM({EPSILON:g}) error; PGD-20"
        lab.row(words, paper=paper, ours=both, n=2000, settings="L-infinity, clipped to [0, 1]")


def several(rows: Sequence[Mapping[str, float]], what: str) -> str:
    """The mean over the seeds, and each of them where there are several."""
    each = ", ".join(f"{100 * row[what]:.1f}" for row in rows)
    return percent(mean(row[what] for row in rows)) + (f" ({each})" if len(rows) > 1 else "")


def judge(lab: Lab, figures: Figures, proof: tuple[int, bool]) -> None:
    """Hold the figures against the bars."""
    few, vat = figures["few"], figures["few-vat"]
    kept, changed = proof
    lab.bar("error", all(row["clean"] <= 0.10 for row in vat), several(vat, "clean"))
    pairs = [(one["clean"], two["clean"]) for one, two in zip(vat, few, strict=True)]
    against = f"{several(vat, 'clean')} against {several(few, 'clean')}"
    lab.bar("half", all(one <= two / 2 for one, two in pairs), against)
    lab.bar("fgsm-vat", mean(row["fgsm 0.1"] for row in vat) <= 0.45, several(vat, "fgsm 0.1"))
    lab.bar("fgsm-supervised", mean(row["fgsm 0.1"] for row in few) >= 0.85, several(few, "fgsm 0.1"))
    words = f"the same weights in {kept} of {DRAWS} draws, {'others' if changed else 'the same'} with all labels wrong"
    lab.bar("unread", kept >= (DRAWS + 1) // 2 and changed, words)
    plain, smooth = (mean(row["clean"] for row in figures[case]) for case in ("all", "all-vat"))
    lab.bar("all-labels", smooth <= plain, f"{percent(smooth)} against {percent(plain)}")
    for key, why in WHY.items():
        lab.explain(key, why)


def drawn(figures: Figures) -> Figure:
    """Left: error of each net, a dot for each seed. Right: against the radius of FGSM."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    colours = dict(zip(NAMES, ("tab:gray", "tab:red", "black", "darkred"), strict=True))
    for place, (case, rows) in enumerate(figures.items()):
        each = [100 * row["clean"] for row in rows]
        left.bar(place, mean(each), color=colours[case], alpha=0.6)
        left.plot([place] * len(each), each, "o", color=colours[case])
        radii = {0.0: "clean"} | {radius: f"fgsm {radius:g}" for radius in RADII}
        curve = [100 * mean(row[key] for row in rows) for key in radii.values()]
        right.plot(list(radii), curve, "o-", color=colours[case], label=NAMES[case])
    left.set_xticks(range(len(NAMES)), [title.replace(", ", ",\n") for title in NAMES.values()], fontsize=7)
    left.set_ylabel("error on clean digits, %")
    right.set_xlabel("radius of FGSM in L-infinity")
    right.set_ylabel("error, %")
    right.set_ylim(0, 101)
    right.legend(fontsize=8)
    return figure


WHY: Final = {
    "error": "The training is short (the paper: 50,000 updates), and the seeds differ: after 9,600 we measured 7.5, "
    "15.8 and 15.0 % (docs/virtual-adversarial.md). We hold that VAT misreads 7 points less than the other net.",
    "half": "The seeds differ: of three, the docs have one where it is half, and two with 15.8 against 25.0 and 15.0 "
    "against 23.7 %.",
    "fgsm-supervised": "The bar is a pilot's, with another schedule. With this one we measured 78 to 80 % over three "
    "seeds (docs/virtual-adversarial.md). We hold that it is 30 points more than with VAT.",
    "all-labels": "The quick form is too short for it: after 1,600 updates VAT had 2.5 to 2.6 % against 3.6 to 3.9 %, "
    "with each of three seeds (docs/virtual-adversarial.md). We hold the bar of the full form.",
}

EXPERIMENT = Experiment(
    name="vat",
    title="Virtual adversarial training with few labels",
    papers=(
        (
            "1507.00677",
            "Miyato, Maeda, Koyama, Nakae, Ishii: Distributional smoothing with virtual adversarial training",
        ),
        ("1704.03976", "Miyato, Maeda, Koyama, Ishii: Virtual adversarial training: a regularization method"),
    ),
    data="mnist10k: 8,000 training digits, of which 100 (10 of each class) keep their labels, and 2,000 test digits. "
    "The papers: 60,000 and 10,000 digits of MNIST.",
    bars=(
        Bar(key="error", text="100 labels: VAT misreads at most 10 %, for every seed"),
        Bar(key="half", text="100 labels: VAT misreads at most half of what the supervised net does, for every seed"),
        Bar(key="fgsm-vat", text="100 labels: FGSM(.1) fools VAT's net on 45 % or less"),
        Bar(key="fgsm-supervised", text="100 labels: FGSM(.1) fools the supervised net on 85 % or more"),
        Bar(
            key="unread",
            text="labels that are not to be read are not: 20 wrong ones among 1,990 leave the weights the same to the "
            "last bit, in most of 5 draws; wrong ones in all places do not",
        ),
        Bar(key="all-labels", text="8,000 labels: VAT misreads no more than no regularisation, on average"),
    ),
    differs=(
        "The net is 784-600-600-10 with batch normalisation, half as wide as the papers'.",
        (
            "The supervised net meets the pictures without labels too, in batch normalisation: but for the weight and "
            "the batch size the two trainings are one."
        ),
        (
            "A constant rate and a running average of the weights, in place of a rate that falls: what few labels say "
            "spreads slowly over the other pictures."
        ),
        "The quick form trains one seed for 1,600 updates, the full one three for 9,600; the paper 50,000.",
    ),
    run=run,
)
