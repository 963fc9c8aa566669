"""What models answer about pictures that were uploaded, by way of an attack that changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from sparring.v1.jobs_pb2 import ResultRow

from reproductions.lab import Lab

# Its file holds the clean prediction of every sample, and the contract has no simpler question.
UNCHANGED = "fgsm:epsilon=0"


def answers(lab: Lab, models: Sequence[str], data: str, *, count: int) -> list[np.ndarray]:
    """The class that each model gives each of the first `count` samples, (N,) int64 for each model, in their order.

    Nothing but the label is read of what a model says.
    """
    asked = [lab.attacking(model, UNCHANGED, data=data, count=count) for model in models]
    return [found.arrays["clean_prediction"] for found in lab.attacked(*asked)]


def about(lab: Lab, models: Sequence[str], title: str, x: np.ndarray, *, classes: int) -> list[np.ndarray]:
    """The same about pictures (N, C, H, W) float32 in [0, 1] that are still to be uploaded."""
    data = lab.upload_data(title, x, np.zeros(len(x), dtype=np.int64), classes=classes)
    return answers(lab, models, data, count=len(x))


def errors(rows: Iterable[ResultRow]) -> dict[str, dict[str, float]]:
    """The error of each model of an evaluation, 0 to 1, under "clean" and under such keys as "fgsm 0.1"."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        clean = row.attack == "clean"
        key = row.attack if clean else f"{row.attack} {row.epsilon:g}"
        found.setdefault(row.model, {})[key] = 1 - (row.clean_accuracy if clean else row.robust_accuracy).value
    return found


def percent(share: float) -> str:
    """A share of samples as it stands in a table, e.g. "12.5 %"."""
    return f"{100 * share:.1f} %"
