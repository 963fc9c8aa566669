"""The fast gradient sign method (arXiv:1412.6572): every system of the paper's sections 4 to 9 that digits can show.

The paper does not clip to [0, 1], so nothing here does, in training and after (see `wide`); clipped figures are beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from reproductions import lite0
from reproductions.answers import percent
from reproductions.experiment import Bar, Experiment
from reproductions.experiments.fgsm_nets import (
    ATTACK,
    CLASSES,
    EPSILON,
    FULL,
    QUICK,
    Digits,
    Length,
    digits,
    errors,
    seen_through,
    trained,
)
from reproductions.experiments.fgsm_pairs import three_or_seven
from reproductions.experiments.fgsm_panda import panda
from reproductions.experiments.fgsm_rubbish import rubbish
from reproductions.experiments.fgsm_transfer import carried
from reproductions.lab import Attacked, Lab
from reproductions.pictures import sheet
from reproductions.samples import UNCHANGED
from reproductions.wide import QUARTER

if TYPE_CHECKING:
    from PIL.Image import Image

PGD: Final = f"pgd:epsilon={QUARTER.epsilon(EPSILON)!r},steps=40,step_size={QUARTER.epsilon(0.025)!r}"
# Error and mean confidence by (net, attack).
Judged = Mapping[tuple[str, str], tuple[float, float]]
PAPER: Final = {
    "softmax": ("shallow softmax", "99.9% (79.3%)"),
    "maxout": ("maxout 240 x 2, clean .94%", "89.4% (97.6%)"),
    "adversarial": ("adversarially trained maxout, clean .782%", "17.9% (81.4%)"),
    "sign noise": ("maxout trained on noise of -eps or eps", "86.2% (97.3%)"),
    "uniform noise": ("maxout trained on noise of U(-eps, eps)", "90.4% (97.8%)"),
    "ensemble": ("ensemble of 12 maxout nets, attacked as a whole", "91.1%"),
    "rbf": ("shallow RBF", "55.4% (1.2%)"),
}


def run(lab: Lab) -> None:
    """Train the nets, attack them, and carry examples from one to another."""
    length = QUICK if lab.quick else FULL
    held = digits(lab)
    models = trained(lab, held, length)
    judged = errors(lab, models, [ATTACK], held.test, 2000)
    tell(lab, judged, length)
    clipped_and_stronger(lab, models, held)
    made = {
        name: lab.attacked(lab.attacking(models[name], ATTACK, data=held.test, count=2000))[0]
        for name in ("maxout", "adversarial")
    }
    carried(lab, models, made, held)
    rbf_is_unsure(lab, models["rbf"], held, judged["rbf", "fgsm"][1])
    three_or_seven(lab, held)
    rubbish(lab, models, length.rubbish)
    panda(lab)
    lab.figure("errors", drawn(judged), "Error of each net on clean digits and under FGSM with epsilon .25")
    lab.picture("digits", shown(held, made), "Digits, and FGSM on the plain and on the adversarially trained net")


def tell(lab: Lab, judged: Judged, length: Length) -> None:
    """Write down each net's error under FGSM, and judge it."""
    epochs = {"softmax": "fitted by L-BFGS, weight decay .001", "rbf": f"{2 * length.epochs} epochs, 300 hidden units"}
    epochs |= {"adversarial": f"{length.hardened} epochs", "ensemble": f"{length.epochs} epochs, {length.members} nets"}
    for name, (system, figure) in PAPER.items():
        (clean, _), (error, confidence) = judged[name, "clean"], judged[name, "fgsm"]
        lab.row(
            f"{system}: error (confidence) under FGSM .25",
            paper=figure,
            ours=f"{percent(error)} ({percent(confidence)}), clean {percent(clean)}",
            n=2000,
            settings=f"{epochs.get(name, f'{length.epochs} epochs')}, 8,000 digits, not clipped",
        )
    said = {name: f"{percent(judged[name, 'fgsm'][0])}" for name in PAPER}
    lab.bar("softmax", judged["softmax", "fgsm"][0] >= 0.99, said["softmax"])
    naive, (error, confidence) = judged["maxout", "clean"][0], judged["maxout", "fgsm"]
    lab.bar("maxout-clean", naive <= 0.05, percent(naive))
    lab.bar("maxout", error >= 0.85 and confidence >= 0.85, f"{percent(error)} at {percent(confidence)}")
    hardened = judged["adversarial", "clean"][0]
    lab.bar("adversarial", judged["adversarial", "fgsm"][0] <= 0.25, said["adversarial"])
    lab.bar("adversarial-clean", hardened <= naive + 0.005, f"{percent(hardened)} against {percent(naive)}")
    noise = min(judged["sign noise", "fgsm"][0], judged["uniform noise", "fgsm"][0])
    lab.bar("noise", noise >= 0.85, f"{said['sign noise']} and {said['uniform noise']}")
    lab.bar("ensemble", judged["ensemble", "fgsm"][0] >= 0.85, said["ensemble"])


def clipped_and_stronger(lab: Lab, models: Mapping[str, str], held: Digits) -> None:
    """The figures that must stand beside: clipped to [0, 1], under PGD, and under noise that is no attack."""
    kinds = {"softmax": "softmax_regression", "maxout": "maxout_mlp", "adversarial": "maxout_mlp"}
    bare = {name: seen_through(lab, models[name], kind, None) for name, kind in kinds.items()}
    clipped = errors(lab, bare, [f"fgsm:epsilon={EPSILON}"], "mnist10k/test", 2000)
    stronger = errors(lab, {name: models[name] for name in ("maxout", "adversarial")}, [PGD], held.test, 500)
    signs = EPSILON * np.sign(np.random.default_rng(lab.seed).standard_normal(held.x_test.shape))
    noisy = lab.upload_data("test digits with noise", QUARTER.narrow(held.x_test + signs), held.y_test, classes=CLASSES)
    noise = errors(lab, {name: models[name] for name in kinds}, [], noisy, 2000)
    for name in kinds:
        lab.row(
            f"{PAPER[name][0]}: FGSM .25 clipped to [0, 1]",
            paper="none (the paper does not clip)",
            ours=percent(clipped[name, "fgsm"][0]),
            n=2000,
            settings="the same weights, the box of [0, 1]",
        )
    for name in ("maxout", "adversarial"):
        lab.row(
            f"{PAPER[name][0]}: PGD .25",
            paper="none (the paper has one step only)",
            ours=percent(stronger[name, "pgd"][0]),
            n=500,
            settings="40 steps of .025 from a random point, not clipped: what FGSM does not see",
        )
    lab.row(
        "noise of -.25 or .25 on each pixel, which is no attack: softmax, maxout, adversarially trained",
        paper="none",
        ours=", ".join(percent(noise[name, "clean"][0]) for name in kinds),
        n=2000,
        settings="not clipped; clipping would make the noise one-sided",
    )


def rbf_is_unsure(lab: Lab, model: str, held: Digits, fooled: float) -> None:
    """What the RBF net is about its errors: not sure."""
    clean = float(lab.attack(model, UNCHANGED, data=held.test, count=2000).arrays["confidence"].mean())
    lab.row(
        "RBF: mean confidence on clean digits, and where FGSM .25 fooled it",
        paper="60.6%, 1.2%",
        ours=f"{percent(clean)}, {percent(fooled)}",
        n=2000,
        settings="300 Gaussian hidden units below a softmax, not one per class",
    )
    lab.explain(
        "rbf",
        "The paper's RBF net gives each class a probability of its own, exp(-|x - mu|^2) by some width, which goes "
        "to 0 far from every class. The service's has a softmax above its Gaussian units, whose probabilities sum "
        "to 1, so that it is less sure where it is fooled and cannot say that nothing fits. What is held instead: it "
        "is less sure of its errors than maxout is of its own, and gives noise no class at all (the bar on rubbish).",
    )
    lab.bar("rbf", fooled <= 0.6 * clean, f"{percent(fooled)} against {percent(clean)}: {fooled / clean:.2f}")


def drawn(judged: Judged) -> Figure:
    """Bars: clean error and error under FGSM of each net."""
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.add_subplot()
    place = np.arange(len(PAPER))
    for shift, attack, words in ((-0.2, "clean", "clean"), (0.2, "fgsm", "FGSM .25")):
        axes.bar(place + shift, [100 * judged[name, attack][0] for name in PAPER], 0.4, label=words)
    axes.set_xticks(place, [name.replace(" ", "\n") for name in PAPER], fontsize=8)
    axes.set(ylabel="error, %", ylim=(0, 100))
    axes.legend(loc="center right")
    return figure


def shown(held: Digits, made: Mapping[str, Attacked]) -> Image:
    """Four digits, clean and as FGSM left them for two nets; grey levels beyond [0, 1] are cut for the eye."""
    rows = []
    for i in (0, 1, 2, 3):
        row = [(held.x_test[i], f"a {held.y_test[i]}")]
        for name, found in made.items():
            told = found.arrays["prediction"][i]
            row.append((QUARTER.widen(found.arrays["x_adv"][i]), f"{name}: {told}"))
        rows.append(row)
    return sheet(rows, side=112)


EXPERIMENT: Final = Experiment(
    name="fgsm",
    title="The fast gradient sign method",
    papers=(
        ("1412.6572", "Goodfellow, Shlens, Szegedy, Explaining and Harnessing Adversarial Examples (2014)"),
        ("1706.06083", "Madry and others (2017), for the PGD beside it"),
    ),
    data="mnist10k: 10,000 digits of MNIST, not full MNIST; 20 pictures of ImageNet for the panda",
    bars=(
        Bar(key="softmax", text="softmax: FGSM .25 error at least 99 %"),
        Bar(key="pair-clean", text="3 against 7: clean error at most 2.5 %"),
        Bar(key="pair-fgsm", text="3 against 7: FGSM .25 error at least 98 %"),
        Bar(key="closed-form", text="3 against 7: FGSM is the closed form, pixels and probabilities to 1e-6"),
        Bar(key="maxout-clean", text="maxout: clean error at most 5 %"),
        Bar(key="maxout", text="maxout: FGSM .25 error at least 85 %, with a confidence of at least 85 %"),
        Bar(key="adversarial", text="adversarially trained: FGSM .25 error at most 25 %"),
        Bar(
            key="adversarial-clean", text="adversarially trained: clean error at most the plain net's and half a point"
        ),
        Bar(key="transfer", text="plain to adversarially trained carries less than the other way round"),
        Bar(key="noise", text="trained on noise of either kind: FGSM .25 error at least 85 %"),
        Bar(key="ensemble", text="ensemble: FGSM .25 error at least 85 %"),
        Bar(key="rbf", text="RBF: confidence on errors at most 0.6 of that on clean digits"),
        Bar(key="rubbish-maxout", text="rubbish: maxout sure of a class at least 80 % of the time"),
        Bar(key="rubbish-rbf", text="rubbish: RBF never"),
        Bar(key="agreement", text="softmax names maxout's wrong class more often than RBF does"),
        Bar(key="panda-fgsm", text="one grey level of FGSM leaves at most 6 of 20 photographs right"),
        Bar(key="panda-noise", text="one grey level of noise leaves at least 16"),
        Bar(key="panda-sure", text="BIM within two grey levels makes a wrong class more than 90 % sure"),
    ),
    differs=(
        "8,000 digits and tens of epochs in place of 60,000 and hundreds: plain nets are fooled more than the paper's.",
        "Nets are trained by Adam with a rate that rises and falls, without dropout; the paper by SGD with it.",
        "The adversarially trained net has 240 units a layer, the paper's 1,600.",
        (
            "FGSM training masks gradients, which one step can't see: the PGD error beside it is the honest one. "
            "Examples are made with the true label, as in the paper."
        ),
        (
            "The RBF net has a hidden layer of Gaussian units below a softmax; the paper's is one Gaussian per class, "
            "whose form it does not state."
        ),
        "Confidence is the mean over the digits that the attack turned; the paper does not define it.",
        f"The panda's GoogLeNet is not at hand: EfficientNet-Lite0 on {lite0.COUNT} pictures.",
    ),
    run=run,
)
