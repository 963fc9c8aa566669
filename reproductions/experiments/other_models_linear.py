"""The linear half of `other-models`: softmax regression against FGSM; two classes, where the worst case is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from reproductions.answers import errors
from reproductions.asking import Values
from reproductions.lab import Lab
from reproductions.samples import samples

EPSILON: Final = 0.25
FGSM: Final = f"fgsm:epsilon={EPSILON}"
PGD: Final = f"pgd:epsilon={EPSILON},steps=40,step_size=0.02"
# (radius, weight of the clean part): Goodfellow's mixed loss, and last the loss on adversarial examples alone.
TRAINED: Final = ((0.0, 1.0), (0.05, 0.5), (0.1, 0.5), (EPSILON, 0.5), (EPSILON, 0.0))
DECAYS: Final = (1e-3, 1e-2, 1e-1, 1.0)
QUICK_DECAYS: Final = (1e-2, 1e-1)
PAIR: Final = (3, 7)
DIGITS: Final = 8000
COST: Final = 0.1
# What pictures are squeezed into, so that no step of EPSILON in the old units leaves [0, 1].
LOW, WIDTH = 0.25, 0.5


@dataclass(frozen=True, kw_only=True)
class Line:
    """A softmax regression of ten classes: errors from 0 to 1, and the sum of its absolute weights."""

    title: str
    clean: float
    fgsm: float
    pgd: float
    weights: float


@dataclass(frozen=True, kw_only=True)
class Two:
    """Threes against sevens, a linear model fitted plainly and one fitted to its worst case; errors from 0 to 1."""

    clean: tuple[float, float]
    exact: tuple[float, float]  # the margin is less than epsilon |w|_1
    fgsm: float  # of the second one, no pixel being clipped
    clipped: float
    weights: tuple[float, float]
    n: int


def softmax(lab: Lab, count: int) -> tuple[list[Line], list[Line]]:
    """Softmax regression trained against FGSM in every step, and beside it by weight decay alone."""
    decays, epochs = (QUICK_DECAYS, 12) if lab.quick else (DECAYS, 20)
    jobs = []
    for epsilon, alpha in TRAINED:
        against: Values = {"epsilon": epsilon, "alpha": alpha, "attack_label": "true"} if epsilon else {}
        jobs.append(
            lab.training(
                f"softmax regression against FGSM({epsilon:g}), clean part {alpha:g}",
                architecture="softmax_regression",
                defense="fgsm_adversarial" if epsilon else "standard",
                parameters=against,
                optimization={"epochs": epochs, "batch_size": 100, "learning_rate": 5e-3},
            )
        )
    for decay in decays:
        fitting = {"cost": 1 / (decay * DIGITS)}
        title = f"softmax regression, weight decay {decay:g}"
        jobs.append(lab.training(title, architecture="softmax_regression", fitting=fitting))
    models = lab.models(*jobs)
    found = errors(lab.evaluate(models, count=count, attacks=[FGSM, PGD]))
    titles = [f"trained at {e:g}, clean part {a:g}" if e else "standard training" for e, a in TRAINED]
    titles += [f"weight decay {decay:g}" for decay in decays]
    lines = [
        Line(
            title=title,
            clean=found[model]["clean"],
            fgsm=found[model][f"fgsm {EPSILON:g}"],
            pgd=found[model][f"pgd {EPSILON:g}"],
            weights=float(np.abs(lab.weights(model)["1.weight"]).sum()),
        )
        for title, model in zip(titles, models, strict=True)
    ]
    return lines[: len(TRAINED)], lines[len(TRAINED) :]


def two_classes(lab: Lab) -> dict[str, Two]:
    """The closed form against the attack, for logistic regression and the hinge."""
    x, y = _pair(*samples(lab, "mnist10k/train", count=DIGITS))
    held = lab.upload_data("threes and sevens to learn", x, y, classes=2)
    x, y = _pair(*samples(lab, "mnist10k/test", count=2000))
    judged = lab.upload_data("threes and sevens to judge", x, y, classes=2)
    squeezed = lab.upload_data("the same, squeezed", (LOW + WIDTH * x).astype(np.float32), y, classes=2)
    found = {}
    for name, architecture in (("logistic", "softmax_regression"), ("hinge", "linear_svm")):
        jobs = [
            lab.training(
                f"{name}, {title}",
                data=held,
                architecture=architecture,
                fitting={"cost": COST},
                defense=defense,
                parameters=parameters,
            )
            for title, defense, parameters in (
                ("plain", "standard", {}),
                ("worst case", "adversarial_refit", {"epsilon": EPSILON, "closed_form": True}),
            )
        ]
        models = lab.models(*jobs)
        plain, worst = (lab.weights(model) for model in models)
        # The same model behind a normalisation that takes the squeezing back: FGSM there is FGSM without a box.
        outside = lab.upload_model(
            f"{name}, no box", architecture, worst, input_shape=x.shape[1:], classes=2, mean=[LOW], std=[WIDTH]
        )
        free = lab.attack(outside, f"fgsm:epsilon={EPSILON * WIDTH}", data=squeezed, count=len(y))
        boxed = lab.attack(models[1], FGSM, data=judged, count=len(y))
        found[name] = Two(
            clean=(wrong_within(plain, x, y, 0.0), wrong_within(worst, x, y, 0.0)),
            exact=(wrong_within(plain, x, y, EPSILON), wrong_within(worst, x, y, EPSILON)),
            fgsm=free.error(),
            clipped=boxed.error(),
            weights=(float(np.abs(_line(plain)[0]).sum()), float(np.abs(_line(worst)[0]).sum())),
            n=len(y),
        )
    return found


def _pair(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two digits alone, as classes 0 and 1."""
    some = np.isin(y, PAIR)
    return x[some], (y[some] == PAIR[1]).astype(np.int64)


def _line(tensors: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """The weights (D,) and the offset of class 1 over class 0."""
    weight, bias = tensors["1.weight"].astype(np.float64), tensors["1.bias"].astype(np.float64)
    return weight[1] - weight[0], float(bias[1] - bias[0])


def wrong_within(tensors: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray, epsilon: float) -> float:
    """The share of samples whose margin is below epsilon |w|_1: what no move within epsilon leaves right."""
    weight, offset = _line(tensors)
    margin = (2.0 * y - 1) * (x.reshape(len(x), -1) @ weight + offset)
    return float((margin < epsilon * np.abs(weight).sum()).mean())
