"""The attacks of `distillation_temperature`: those that look at the softmax, and those that look past it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sparring.v1.jobs_pb2 import ResultRow

from reproductions.experiments.distillation_temperature_nets import ARCHITECTURE, called, cooled
from reproductions.lab import Attacked, Lab
from reproductions.pictures import in_files, of_each_class

CLASSES: Final = 10
TEST: Final = 2000
PIXELS: Final = 784
JSMA: Final = "jsma:theta=1,max_fraction=0.145,pairs=true,target=each,use_logits="
PGD: Final = "pgd:epsilon=0.25,steps=20,step_size=0.03,loss="
CARLINI_WAGNER: Final = "carlini_wagner:search_steps=9,steps=200,learning_rate=0.2,target=each,initial_c="


@dataclass(frozen=True, kw_only=True)
class Net:
    """What was measured of one net; shares in [0, 1].

    `share`: success by attack: jsma, cooled, logits, margin, carlini.
    """

    error: float
    share: Mapping[str, float]
    fgsm: float
    pgd: float
    changed: float  # mean part of the pixels that JSMA's successes on the softmax of z / T changed
    length: float  # mean L2 of Carlini and Wagner's


@dataclass(frozen=True)
class Digits:
    """The digits that are attacked: each ten times for JSMA, once for Carlini and Wagner's attack."""

    every: str
    once: str
    count: int  # of different digits


def chosen(lab: Lab, models: Sequence[str], per_class: int) -> Digits:
    """Upload the first test digits that every net reads rightly, as many of each class."""
    held = [
        done.arrays for done in lab.attacked(*(lab.attacking(model, "fgsm:epsilon=0", count=TEST) for model in models))
    ]
    x, y = held[0]["x_adv"], held[0]["label"]
    right = np.all([arrays["clean_prediction"] == y for arrays in held], axis=0)
    rows = of_each_class(y, right, per_class)
    pictures, labels = in_files(x[rows]), y[rows]
    every = np.repeat(np.arange(len(rows)), CLASSES)
    once = one_target_each(per_class)
    return Digits(
        lab.upload_data("every digit ten times", pictures[every], labels[every], classes=CLASSES),
        lab.upload_data("every digit once", pictures[once], labels[once], classes=CLASSES),
        len(rows),
    )


def one_target_each(per_class: int) -> np.ndarray:
    """Order digits, which lie class by class, so that each has one target and no class is its own: their rows.

    The goal `each` sends sample i to class i modulo 10. In the j-th ten, class k stands at (k + 1 + j mod 9) modulo 10.
    """
    order = np.empty((per_class, CLASSES), dtype=np.int64)
    for j in range(per_class):
        for k in range(CLASSES):
            order[j, (k + 1 + j % (CLASSES - 1)) % CLASSES] = k * per_class + j
    return order.ravel()


def attacked(lab: Lab, temperature: int, model: str, digits: Digits) -> Net:
    """Everything about one net."""
    T, each = max(1, temperature), CLASSES * digits.count
    cool = model
    if T > 1:
        title = f"{called(temperature)}, logits divided by {T}"
        tensors = cooled(lab.weights(model), T)
        cool = lab.upload_model(title, ARCHITECTURE, tensors, input_shape=(1, 28, 28), classes=CLASSES)
    # The attack's weights are in units of logits, which are T times larger: each search starts at the same place.
    jobs = [
        lab.attacking(model, JSMA + "false", data=digits.every, count=each),
        lab.attacking(cool, JSMA + "false", data=digits.every, count=each),
        lab.attacking(model, JSMA + "true", data=digits.every, count=each),
        lab.attacking(model, f"{CARLINI_WAGNER}{0.01 / T:g}", data=digits.once, count=digits.count),
    ]
    rows = lab.evaluate([model], count=TEST, attacks=["fgsm:epsilon=0.25", PGD + "cross_entropy", PGD + "margin"])
    jsma, cold, logits, carlini = lab.attacked(*jobs)
    fgsm, pgd, margin = (1 - row.robust_accuracy.value for row in in_order(rows))
    won = carlini.arrays["success"]
    return Net(
        error=1 - rows[0].clean_accuracy.value,
        share={
            "jsma": success(jsma),
            "cooled": success(cold),
            "logits": success(logits),
            "margin": margin,
            "carlini": float(won.mean()),
        },
        fgsm=fgsm,
        pgd=pgd,
        changed=float(cold.arrays["distance"][cold.arrays["success"]].mean() / PIXELS),
        length=float(carlini.arrays["distance"][won].mean()),
    )


def success(done: Attacked) -> float:
    """Share of the digits that were to become another class and did."""
    arrays = done.arrays
    wanted = arrays["target"] != arrays["label"]
    return float(arrays["success"][wanted].mean())


def in_order(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The rows of the attacks as they were asked for."""
    return [row for row in rows if row.attack not in {"clean", "worst_case"}]
