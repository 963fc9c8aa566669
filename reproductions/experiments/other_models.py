"""Adversarial training of what is no neural net: linear models, kernel machines, neighbours, trees; and nets beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reproductions.answers import errors, percent
from reproductions.asking import Values
from reproductions.experiment import Bar, Experiment
from reproductions.experiments.other_models_linear import EPSILON, FGSM, PGD, Line, Two, softmax, two_classes
from reproductions.experiments.other_models_refit import KINDS, Refitted, refitted
from reproductions.lab import Lab
from reproductions.samples import samples

NETS: Final[Mapping[str, tuple[str, Values]]] = {
    "undefended": ("standard", {}),
    "refitted": ("adversarial_refit", {"epsilon": EPSILON, "refits": 1}),
    "trained against PGD": ("pgd_adversarial", {"epsilon": EPSILON, "steps": 7, "step_size": EPSILON / 3}),
}
ROBUST: Final = "trained against PGD"
COLUMNS: Final = (
    ("undefended, own attack", "tab:gray"),
    ("refitted: copies it learned", "tab:green"),
    ("refitted: the old attack", "tab:blue"),
    ("refitted: a fresh attack", "tab:red"),
    ("refitted: a stronger attack", "darkred"),
)
# Errors of a net: clean, under FGSM, under PGD.
Net = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Found:
    """Everything that was measured."""

    trained: Sequence[Line]
    decayed: Sequence[Line]
    binary: Mapping[str, Two]
    kinds: Mapping[str, Refitted]
    nets: Mapping[str, Net]


def run(lab: Lab) -> None:
    """Linear models, then kind by kind, then nets."""
    few, count, epochs = (1000, 200, 4) if lab.quick else (3000, 500, 10)
    trained, decayed = softmax(lab, count)
    learned, judged = samples(lab, "mnist10k/train", count=few), samples(lab, "mnist10k/test", count=count)
    chosen = [name for name, kind in KINDS.items() if kind.quick or not lab.quick]
    found = Found(
        trained=trained,
        decayed=decayed,
        binary=two_classes(lab),
        kinds={name: refitted(lab, name, learned, judged) for name in chosen},
        nets=nets(lab, count, epochs),
    )
    tell(lab, found, few, count, epochs)
    judge(lab, found)
    lab.figure("refitting", drawn(found), "Errors before and after refitting, and softmax regression by its weights")


def nets(lab: Lab, count: int, epochs: int) -> dict[str, Net]:
    """Wong's net on all 8,000 digits: undefended, refitted, and trained against PGD in every step."""
    optimization: Values = {"epochs": epochs, "batch_size": 100, "learning_rate": 5e-3}
    jobs = [
        lab.training(
            f"net, {title}", architecture="wong_cnn", defense=defense, parameters=given, optimization=optimization
        )
        for title, (defense, given) in NETS.items()
    ]
    models = lab.models(*jobs)
    held = errors(lab.evaluate(models, count=count, attacks=[FGSM, PGD]))
    keys = ("clean", f"fgsm {EPSILON:g}", f"pgd {EPSILON:g}")
    return {
        title: (held[model][keys[0]], held[model][keys[1]], held[model][keys[2]])
        for title, model in zip(NETS, models, strict=True)
    }


def tell(lab: Lab, found: Found, few: int, count: int, epochs: int) -> None:
    """Fill the table."""
    nothing = "no figure published (a slide)"
    for line in (*found.trained, *found.decayed):
        ours = f"{percent(line.clean)}, FGSM {percent(line.fgsm)}, PGD-40 {percent(line.pgd)}; |w|_1 {line.weights:.0f}"
        lab.row(
            f"softmax regression, {line.title}", paper=nothing, ours=ours, n=count, settings="8,000 digits; at 0.25"
        )
    for name, two in found.binary.items():
        ours = (
            f"clean {percent(two.clean[0])} to {percent(two.clean[1])}; at 0.25 {percent(two.exact[0])} to "
            f"{percent(two.exact[1])} (FGSM {percent(two.fgsm)}, clipped {percent(two.clipped)}); "
            f"|w|_1 {two.weights[0]:.1f} to {two.weights[1]:.1f}"
        )
        paper = "FGSM 99 % of the plain one (arXiv:1412.6572)" if name == "logistic" else nothing
        lab.row(f"3 against 7, {name}, fitted to its worst case", paper=paper, ours=ours, n=two.n, settings="cost 0.1")
    for kind in found.kinds.values():
        ours = (
            f"clean {percent(kind.clean[0])} to {percent(kind.clean[1])}; own attack {percent(kind.own[0])}; refitted: "
            f"copies {percent(kind.learned)}, old attack {percent(kind.old)}, fresh {percent(kind.own[1])}, "
            f"stronger {percent(kind.stronger[1])}"
        )
        lab.row(f"{kind.title}, refitted", paper=nothing, ours=ours, n=count, settings=f"{few:,} digits")
    for title, (clean, fgsm, pgd) in found.nets.items():
        ours = f"clean {percent(clean)}, FGSM {percent(fgsm)}, PGD-40 {percent(pgd)}"
        lab.row(f"net, {title}", paper=nothing, ours=ours, n=count, settings=f"8,000 digits, {epochs} epochs")


def judge(lab: Lab, found: Found) -> None:
    """Hold the figures against the bars."""
    plain, hard = found.trained[0], found.trained[-2]
    lab.bar("linear-fgsm", hard.fgsm >= 0.75, f"{percent(hard.fgsm)}, PGD-40 {percent(hard.pgd)}")
    lab.bar("linear-clean", hard.clean - plain.clean >= 0.05, f"{percent(plain.clean)} to {percent(hard.clean)}")
    lab.bar("linear-weights", hard.weights * 5 <= plain.weights, f"{plain.weights:.0f} to {hard.weights:.0f}")
    same = ", ".join(f"{name} {percent(two.exact[1])} and {percent(two.fgsm)}" for name, two in found.binary.items())
    lab.bar("closed-form", all(two.exact[1] == two.fgsm for two in found.binary.values()), same)
    for name, key in (("nearest_neighbors", "neighbour"), ("decision_tree", "tree")):
        kind = found.kinds[name]
        lab.bar(f"{key}-copies", kind.learned <= 0.02, f"{percent(kind.learned)} of {kind.copies} copies")
        words = f"{percent(kind.own[0])} undefended, {percent(kind.own[1])} refitted"
        lab.bar(f"{key}-fresh", kind.own[1] >= kind.own[0] - 0.15, words)
    clean, fgsm, pgd = found.nets[ROBUST]
    others = [kind.own[1] for kind in found.kinds.values()]
    stronger = [kind.stronger[1] for kind in found.kinds.values()]
    words = (
        f"FGSM {percent(fgsm)} (others {percent(min(others))} or more), PGD-40 {percent(pgd)}, clean {percent(clean)}"
    )
    lab.bar("net", fgsm < min(others), words)
    words = f"PGD-40 {percent(pgd)}, others under a stronger attack {percent(min(stronger))} or more"
    lab.bar("net-stronger", pgd < min(stronger), words)


def drawn(found: Found) -> Figure:
    """Left: each kind before and after refitting. Right: linear models, errors against the sum of weights."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.9, 1))
    rows = [(kind.own[0], kind.learned, kind.old, kind.own[1], kind.stronger[1]) for kind in found.kinds.values()]
    for number, (label, colour) in enumerate(COLUMNS):
        places = [at + (number - 2) * 0.16 for at in range(len(rows))]
        left.bar(places, [100 * row[number] for row in rows], 0.16, label=label, color=colour)
    _, fgsm, pgd = found.nets[ROBUST]
    for value, words, style in ((fgsm, "FGSM", "--"), (pgd, "PGD-40", ":")):
        label = f"net trained against PGD, {words}: {percent(value)}"
        left.axhline(100 * value, color="black", linestyle=style, linewidth=1, label=label)
    left.set_xticks(range(len(rows)), [kind.title.replace(" ", "\n") for kind in found.kinds.values()])
    left.set_ylabel("error, %")
    left.set_ylim(0, 128)
    left.set_yticks(range(0, 101, 20))
    left.legend(ncol=3, fontsize=7, loc="upper center")
    left.set_title("Adversarial refitting at L-infinity 0.25", fontsize=10)
    linear(right, found)
    return figure


def linear(axes: Axes, found: Found) -> None:
    """Errors of softmax regression against the sum of its absolute weights."""
    for lines, label, style in (
        (found.trained, "trained against FGSM", "o-"),
        (found.decayed, "weight decay alone", "s--"),
    ):
        weights = [line.weights for line in lines]
        axes.plot(weights, [100 * line.fgsm for line in lines], style, color="tab:red")
        axes.plot(weights, [100 * line.clean for line in lines], style, color="tab:gray")
        axes.plot([], [], style, color="black", label=label)
    axes.plot([], [], color="tab:red", label="FGSM, epsilon 0.25")
    axes.plot([], [], color="tab:gray", label="clean")
    axes.set_xscale("log")
    axes.set_xlabel("sum of absolute weights")
    axes.set_ylabel("error, %")
    axes.set_ylim(0, 104)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="center left")
    axes.set_title("Softmax regression, 10 classes", fontsize=10)


EXPERIMENT = Experiment(
    name="other-models",
    title="Adversarial training of other models",
    papers=(
        ("", "Goodfellow: Adversarial examples and adversarial training (lecture): a slide without figures"),
        ("1412.6572", "Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples"),
    ),
    data="mnist10k: test digits at L-infinity 0.25; what is fitted learns 3,000 digits (quick: 1,000), others 8,000.",
    bars=(
        Bar(key="linear-fgsm", text="softmax regression trained against FGSM(.25): FGSM(.25) error 75 % or more"),
        Bar(key="linear-clean", text="and it costs 5 points of clean accuracy or more"),
        Bar(key="linear-weights", text="and the sum of absolute weights falls to a fifth or less"),
        Bar(key="closed-form", text="3 against 7: the error by the closed form is the error under FGSM without a box"),
        Bar(key="neighbour-copies", text="nearest neighbour: error on the copies that it learned 2 % or less"),
        Bar(key="neighbour-fresh", text="nearest neighbour: a fresh attack comes within 15 points of the undefended"),
        Bar(key="tree-copies", text="decision tree: error on the copies that it learned 2 % or less"),
        Bar(key="tree-fresh", text="decision tree: a fresh attack comes within 15 points of the undefended"),
        Bar(key="net", text="of all, the net trained against PGD has the lowest error under FGSM or its kind's attack"),
        Bar(key="net-stronger", text="and the lowest under PGD-40 or a stronger attack of the kind"),
    ),
    differs=(
        "The slide has no figures; the bars are from a pilot on the same data, stated before these runs.",
        "What is fitted is refitted once on copies of its training digits, as it has no steps to attack it in.",
        "The walk and the smoothed neighbour take FGSM's place where there is no slope; a walk beyond 0.25 is none.",
        "FGSM without a box: pictures and step are squeezed into [0.25, 0.75], and a normalisation undoes it.",
    ),
    run=run,
)
