"""The nets of the FGSM experiment: all see pixels beyond [0, 1], so that nothing is clipped, in training and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reproductions.asking import Values
from reproductions.lab import Lab
from reproductions.samples import samples
from reproductions.wide import QUARTER, Wide

EPSILON: Final = 0.25
SHAPE: Final = (1, 28, 28)
CLASSES: Final = 10
ATTACK: Final = f"fgsm:epsilon={QUARTER.epsilon(EPSILON)!r}"


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long nets are trained, how many of them vote, and how many pictures of noise there are."""

    epochs: int
    hardened: int  # epochs of adversarial training
    members: int
    rubbish: int


QUICK: Final = Length(epochs=8, hardened=16, members=3, rubbish=2000)
FULL: Final = Length(epochs=30, hardened=40, members=12, rubbish=10_000)


@dataclass(frozen=True, kw_only=True)
class Digits:
    """mnist10k in numpy, and as datasets of the wide box."""

    x: np.ndarray  # (8000, 1, 28, 28), to learn from
    y: np.ndarray
    x_test: np.ndarray  # (2000, 1, 28, 28)
    y_test: np.ndarray
    train: str
    test: str


def digits(lab: Lab) -> Digits:
    """Fetch the digits, and upload them for a box in which no step of .25 meets an edge."""
    (x, y), (x_test, y_test) = (samples(lab, f"mnist10k/{split}") for split in ("train", "test"))
    train = lab.upload_data("digits to learn from, in [-.25, 1.25]", QUARTER.narrow(x), y, classes=CLASSES)
    test = lab.upload_data("test digits, in [-.25, 1.25]", QUARTER.narrow(x_test), y_test, classes=CLASSES)
    return Digits(x=x, y=y, x_test=x_test, y_test=y_test, train=train, test=test)


def trained(lab: Lab, held: Digits, length: Length) -> dict[str, str]:
    """Train all nets and fit the softmax regression; their names by what they are."""
    ε = QUARTER.epsilon(EPSILON)
    noise = {"amplitude": ε}
    asked: dict[str, tuple[str, str, Values, int, float]] = {
        "adversarial": (
            "maxout_mlp",
            "fgsm_adversarial",
            {"epsilon": ε, "attack_label": "true"},
            length.hardened,
            2e-3,
        ),
        "ensemble": ("maxout_mlp", "committee", {"members": length.members}, length.epochs, 2e-3),
        "maxout": ("maxout_mlp", "standard", {}, length.epochs, 2e-3),
        "sign noise": ("maxout_mlp", "noise_training", {**noise, "noise": "sign"}, length.epochs, 2e-3),
        "uniform noise": ("maxout_mlp", "noise_training", {**noise, "noise": "uniform"}, length.epochs, 2e-3),
        "rbf": ("rbf_network", "standard", {}, 2 * length.epochs, 0.015),
    }
    jobs = [
        lab.training(
            name,
            data=held.train,
            architecture=architecture,
            defense=defense,
            parameters=parameters,
            optimization={"epochs": epochs, "learning_rate": rate},
            mean=QUARTER.mean,
            std=QUARTER.std,
        )
        for name, (architecture, defense, parameters, epochs, rate) in asked.items()
    ]
    regression = lab.train("softmax", architecture="softmax_regression", fitting={"cost": 0.125})
    names = dict(zip(asked, lab.models(*jobs), strict=True))
    return names | {"softmax": seen_through(lab, regression, "softmax_regression", QUARTER)}


def seen_through(lab: Lab, model: str, architecture: str, box: Wide | None) -> str:
    """The same weights with another box around the pixels; None for [0, 1]."""
    tensors = lab.weights(model)
    name = f"{architecture} on {'[0, 1]' if box is None else [box.low, box.high]}"
    mean, std = ((), ()) if box is None else (box.mean, box.std)
    classes = len(tensors["1.bias"]) if architecture == "softmax_regression" else CLASSES
    return lab.upload_model(name, architecture, tensors, input_shape=SHAPE, classes=classes, mean=mean, std=std)


def errors(
    lab: Lab, models: Mapping[str, str], attacks: Sequence[str], data: str, count: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """Judge models on data; by (name, attack), "clean" among them: the error and the mean confidence in wrong answers.

    The confidence is that of the samples that the attack turned; 0 for clean.
    """
    names = {model: name for name, model in models.items()}
    found = {}
    for row in lab.evaluate(list(models.values()), data=data, count=count, attacks=attacks):
        if row.attack != "worst_case":
            left = row.clean_accuracy if row.attack == "clean" else row.robust_accuracy
            found[names[row.model], row.attack] = (1 - left.value, row.mean_confidence)
    return found
