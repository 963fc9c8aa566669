"""JSMA by the paper's protocol: every source digit to each of the nine other classes, at most 14.5 % of its pixels.

(p, q) = argmax -alpha beta, alpha = sum_{i in p,q} dF_t/dx_i > 0, beta = sum_{i in p,q} sum_{j != t} dF_j/dx_i < 0;
x_p, x_q <- x_p, x_q + theta, within [0, 1], until the target wins (arXiv:1511.07528, algorithms 2 and 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from reproductions.answers import percent
from reproductions.experiment import Bar, Experiment
from reproductions.lab import Attacked, Lab
from reproductions.pictures import in_files, of_each_class, sheet

if TYPE_CHECKING:
    from PIL.Image import Image

CLASSES: Final = 10
TEST: Final = 2000
PIXELS: Final = 784
UPSILON: Final = 0.145  # 112 pixels
NETS: Final = {"mlp": "dropout_mlp", "cnn": "wong_cnn"}
OPTIMIZATION: Final = {"epochs": 15, "batch_size": 100, "learning_rate": 0.001}
CALLED: Final = {"mlp": "784-200-200-10 with dropout", "cnn": "Wong's convolutional net"}
# theta, and whether F is the logits z or the softmax of them.
FORMS: Final = {
    "softmax, theta 1": (1, False),
    "logits, theta 1": (1, True),
    "softmax, theta -1": (-1, False),
    "logits, theta -1": (-1, True),
}
PAPER: Final = {
    "softmax, theta 1": "95.89 % on softmax (arXiv:1511.04508, its net without distillation, recalled)",
    "logits, theta 1": "97.10 % at 4.02 % (the share of the pixels: abstract; recalled)",
    "softmax, theta -1": "none",
    "logits, theta -1": "64.7 % at 3.62 % (recalled)",
}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What became of the attacks; `distortion` is the mean share of the pixels that the successes changed."""

    success: float
    distortion: float
    by_pair: np.ndarray  # (10, 10) share of successes from class (row) to class (column); NaN on the diagonal


def run(lab: Lab) -> None:
    """Train two nets, attack the digits that both read rightly, judge."""
    per_class = 10 if lab.quick else 30
    nets = trained(lab)
    x, y = sources(lab, list(nets.values()), per_class)
    every = np.repeat(np.arange(len(y)), CLASSES)
    data = lab.upload_data("every source ten times", in_files(x[every]), y[every], classes=CLASSES)
    found: dict[tuple[str, str], Figures] = {}
    for net, model in nets.items():
        jobs = [lab.attacking(model, attack(*form), data=data, count=len(every)) for form in FORMS.values()]
        done = lab.attacked(*jobs)
        found |= {(net, form): figures(one) for form, one in zip(FORMS, done, strict=True)}
        if net == "cnn":
            words = "One source of each class (rows) made each class (columns), on logits"
            lab.picture("digits", shown(done[1]), words)
    tell(lab, found, len(y))
    judge(lab, found, y)
    lab.figure("pairs", drawn(found), "Success from each class to each class")


def attack(theta: float, use_logits: bool) -> str:  # noqa: FBT001 - a pair as it stands in FORMS
    """The attack in words; the goal `each` sends sample i to class i modulo 10."""
    logits = str(use_logits).lower()
    return f"jsma:theta={theta},max_fraction={UPSILON},pairs=true,use_logits={logits},target=each"


def trained(lab: Lab) -> dict[str, str]:
    """A net of each kind."""
    jobs = [lab.training(name, architecture=kind, optimization=OPTIMIZATION) for name, kind in NETS.items()]
    return dict(zip(NETS, lab.models(*jobs), strict=True))


def sources(lab: Lab, models: Sequence[str], per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """The first test digits that every net reads rightly, as many of each class, class by class."""
    jobs = [lab.attacking(model, "fgsm:epsilon=0", count=TEST) for model in models]
    held = [done.arrays for done in lab.attacked(*jobs)]
    label = held[0]["label"]
    right = np.all([arrays["clean_prediction"] == label for arrays in held], axis=0)
    rows = of_each_class(label, right, per_class)
    return held[0]["x_adv"][rows], label[rows]


def figures(done: Attacked) -> Figures:
    """Count the sources that were to become another class."""
    arrays = done.arrays
    label, target, success = (arrays[name] for name in ("label", "target", "success"))
    wanted = label != target
    pairs = np.full((CLASSES, CLASSES), np.nan)
    for source in range(CLASSES):
        for goal in range(CLASSES):
            if source != goal:
                pairs[source, goal] = success[(label == source) & (target == goal)].mean()
    changed = arrays["distance"][success] / PIXELS
    return Figures(
        success=float(success[wanted].mean()),
        distortion=float(changed.mean()) if len(changed) else float("nan"),
        by_pair=pairs,
    )


def tell(lab: Lab, found: Mapping[tuple[str, str], Figures], digits: int) -> None:
    """Fill the table."""
    for (net, form), one in found.items():
        lab.row(
            f"{CALLED[net]}, {form}: success at mean distortion",
            paper=PAPER[form],
            ours=told_of(one),
            n=9 * digits,
            settings=f"Upsilon 14.5 %, pairs; {NETS[net]}, {OPTIMIZATION['epochs']} epochs",
        )


def told_of(one: Figures) -> str:
    """Success and distortion."""
    return f"{percent(one.success)} at {100 * one.distortion:.2f} %"


def judge(lab: Lab, found: Mapping[tuple[str, str], Figures], label: np.ndarray) -> None:
    """Hold the figures against the bars."""
    for key, form in (("mlp", "softmax, theta 1"), ("cnn", "softmax, theta 1"), ("cnn-logits", "logits, theta 1")):
        one = found[key.partition("-")[0], form]
        lab.bar(key, one.success >= 0.9 and one.distortion <= 0.05, told_of(one))
    classes = len(np.unique(label))
    lab.bar("sources", classes == CLASSES, f"{classes} classes, {len(label) // CLASSES} sources of each")
    logits = {net: (found[net, "logits, theta 1"], found[net, "logits, theta -1"]) for net in NETS}
    told = (f"{net}: {percent(down.success)} against {percent(up.success)}" for net, (up, down) in logits.items())
    lab.bar("darker", all(down.success < up.success for up, down in logits.values()), "; ".join(told))
    softmax = {net: (found[net, "softmax, theta 1"], found[net, "softmax, theta -1"]) for net in NETS}
    told = (f"{net}: {told_of(down)} against {told_of(up)}" for net, (up, down) in softmax.items())
    worse = all(down.success <= up.success and down.distortion > up.distortion for up, down in softmax.values())
    lab.bar("darker-softmax", worse, "; ".join(told))
    for key, why in WHY.items():
        lab.explain(key, why)


def drawn(found: Mapping[tuple[str, str], Figures]) -> Figure:
    """Success from class to class of the convolutional net on logits, theta 1 and -1."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    for axes, form in zip(figure.subplots(1, 2), ("logits, theta 1", "logits, theta -1"), strict=True):
        shares = 100 * found["cnn", form].by_pair
        picture = axes.imshow(shares, vmin=0, vmax=100, cmap="viridis")
        axes.set_xticks(range(CLASSES))
        axes.set_yticks(range(CLASSES))
        axes.set_xlabel("target")
        axes.set_ylabel("source")
        axes.set_title(f"{CALLED['cnn']}, {form}", fontsize=9)
    figure.colorbar(picture, ax=figure.axes, label="success, %")
    return figure


def shown(done: Attacked) -> Image:
    """The first source of each class made every class, as the paper's figure 1 has them."""
    arrays = done.arrays
    firsts = [int(np.flatnonzero(arrays["label"] == source)[0]) for source in range(CLASSES)]
    rows = [
        [(arrays["x_adv"][first + goal], f"{arrays['prediction'][first + goal]}") for goal in range(CLASSES)]
        for first in firsts
    ]
    return sheet(rows, side=56)


WHY: Final[dict[str, str]] = {}

EXPERIMENT = Experiment(
    name="jsma",
    title="JSMA: a handful of pixels makes any digit of any other",
    papers=(("1511.07528", "Papernot and others: The limitations of deep learning in adversarial settings"),),
    data="mnist10k: 8,000 training digits; 100 test digits (full form: 300) that both nets read rightly, as many of "
    "each class, each to all nine others. The paper: LeNet on full MNIST, 10,000 sources of each of three sets.",
    bars=(
        Bar(
            key="mlp", text="784-200-200-10, on its softmax: 90 % or more succeed, at a mean distortion of 5 % or less"
        ),
        Bar(key="cnn", text="the convolutional net, on its softmax: the same"),
        Bar(key="cnn-logits", text="the convolutional net, on its logits as the paper has it: the same"),
        Bar(key="sources", text="the sources are of all ten classes"),
        Bar(key="darker", text="theta -1 is strictly worse: on logits fewer succeed, for both nets"),
        Bar(
            key="darker-softmax",
            text="and on the softmax no more succeed, and the successes change more pixels, for both nets",
        ),
    ),
    differs=(
        (
            "The paper differentiates the layer before the softmax; the distillation paper, and most who rebuilt it, "
            "the softmax. Both are here. On the softmax what one class gains the others lose, and nearly all succeed."
        ),
        "The nets are smaller than LeNet and learned 8,000 digits.",
        "theta 1 saturates a pixel in one step; theta -1 blackens it.",
    ),
    run=run,
)
