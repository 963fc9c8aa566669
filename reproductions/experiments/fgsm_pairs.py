"""Logistic regression that tells 3 from 7: what FGSM does to it has a closed form (arXiv:1412.6572, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from reproductions.answers import percent
from reproductions.experiments.fgsm_nets import ATTACK, EPSILON, Digits, seen_through
from reproductions.lab import Lab
from reproductions.samples import UNCHANGED
from reproductions.wide import QUARTER

THREE, SEVEN = 3, 7
# Differences that are rounding.
CLOSE: Final = 1e-6


def three_or_seven(lab: Lab, held: Digits) -> None:
    """Fit it, attack it, and compare with max(0, ...) of the margin less epsilon |w|_1."""
    model = fitted(lab, held)
    x, y = chosen(held.x_test, held.y_test)
    data = lab.upload_data("test digits 3 and 7, in [-.25, 1.25]", QUARTER.narrow(x), y, classes=2)
    signs = EPSILON * np.sign(np.random.default_rng(lab.seed).standard_normal(x.shape))
    noisy = lab.upload_data("the same with noise", QUARTER.narrow(x + signs), y, classes=2)
    clean, attacked, noise = lab.attacked(
        lab.attacking(model, UNCHANGED, data=data, count=len(x)),
        lab.attacking(model, ATTACK, data=data, count=len(x)),
        lab.attacking(model, UNCHANGED, data=noisy, count=len(x)),
    )
    settings = f"softmax_regression of two classes, fitted to {int(np.isin(held.y, (THREE, SEVEN)).sum()):,} digits"
    lab.row(
        "logistic regression, 3 against 7: error, clean and FGSM .25",
        paper="1.6%, 99%",
        ours=f"{percent(clean.error())}, {percent(attacked.error())}",
        n=len(x),
        settings=f"{settings}; not clipped",
    )
    lab.row(
        "the same under noise of -.25 or .25 on each pixel",
        paper="none",
        ours=percent(noise.error()),
        n=len(x),
        settings="the control: as far in every pixel, without the gradient",
    )
    lab.bar("pair-clean", clean.error() <= 0.025, percent(clean.error()))
    lab.bar("pair-fgsm", attacked.error() >= 0.98, percent(attacked.error()))
    furthest = compared(lab.weights(model), x, y, attacked.arrays)
    lab.bar("closed-form", furthest <= CLOSE, f"largest difference {furthest:.1e}")


def fitted(lab: Lab, held: Digits) -> str:
    """Fit it to the 3s and 7s as they are, and put the wide box around it."""
    x, y = chosen(held.x, held.y)
    data = lab.upload_data("training digits 3 and 7", x, y, classes=2)
    model = lab.train("3 against 7", data=data, architecture="softmax_regression", fitting={"cost": 1.0})
    return seen_through(lab, model, "softmax_regression", QUARTER)


def chosen(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 3s and 7s with labels 0 and 1."""
    wanted = np.isin(y, (THREE, SEVEN))
    return x[wanted], (y[wanted] == SEVEN).astype(np.int64)


def compared(
    tensors: Mapping[str, np.ndarray], x: np.ndarray, y: np.ndarray, attacked: Mapping[str, np.ndarray]
) -> float:
    """The largest difference from the closed form: of a pixel, of a probability, and 1 for another verdict.

    x' = x - epsilon y sign(w), p(wrong) = sigmoid(epsilon |w|_1 - y (w.x + b)), y being -1 or 1.
    """
    weight, bias = tensors["1.weight"].astype(np.float64), tensors["1.bias"].astype(np.float64)
    w, b, sign = weight[1] - weight[0], bias[1] - bias[0], 2 * y - 1
    margin = sign * (x.reshape(len(x), -1) @ w + b)
    worst = EPSILON * np.abs(w).sum() - margin
    wrong = np.maximum(worst, margin * -1) >= 0
    same = np.array_equal(wrong, attacked["prediction"] != y)
    # A digit that is read wrongly from the start is left as it is, and one that withstands is not made worse.
    moved = (margin > 0) & wrong
    point = x.reshape(len(x), -1) - EPSILON * sign[:, None] * np.sign(w)
    pixels = np.abs(QUARTER.widen(attacked["x_adv"]).reshape(len(x), -1) - point)[moved].max()
    chances = np.abs(1 / (1 + np.exp(-worst)) - attacked["confidence"])[moved].max()
    return float(max(pixels, chances, 0.0 if same else 1.0))
