"""The attacker of `black-box-substitute`: an oracle that says labels, and a substitute that is trained on them.

    S_0 = a few digits;   for rho = 0, 1, ..., R:
        D = {(x, O(x)) : x in S_rho}                                    only new points are asked about
        train F on D
        S_{rho+1} = S_rho  u  {clip(x + lambda_rho sign(J_F(x)[O(x)]), 0, 1) : x in S_rho}     not after the last one

Algorithm 1 of arXiv:1602.02697; lambda_rho = lambda (-1)^floor(rho / 3), as in its section on reducing queries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from reproductions.answers import UNCHANGED
from reproductions.asking import Values
from reproductions.lab import Lab

CLASSES: Final = 10
# lambda, and after how many augmentations its sign changes.
STEP, ALTERNATE = 0.1, 3
AUGMENTATIONS: Final = 5
TRAINING: Final[Values] = {"epochs": 10, "batch_size": 128, "learning_rate": 1e-3, "schedule": "constant"}


@dataclass(kw_only=True)
class Oracle:
    """A model of the service of which an attacker sees labels; `log` holds what was handed out, call by call."""

    lab: Lab
    model: str
    log: list[np.ndarray] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """Queries so far."""
        return sum(len(answer) for answer in self.log)

    @property
    def labels_only(self) -> bool:
        """Whether each answer was one whole number."""
        return all(answer.ndim == 1 and answer.dtype == np.int64 for answer in self.log)

    def labels(self, title: str, x: np.ndarray) -> np.ndarray:
        """The oracle's classes of pictures (N, C, H, W), (N,) int64: N queries."""
        data = self.lab.upload_data(title, x, np.zeros(len(x), dtype=np.int64), classes=CLASSES)
        found = self.lab.attack(self.model, UNCHANGED, data=data, count=len(x))
        self.log.append(found.arrays["clean_prediction"])
        return self.log[-1]


@dataclass(frozen=True, kw_only=True)
class Theft:
    """A substitute for each training, and the labels that were asked for by then."""

    substitutes: tuple[str, ...]
    queries: tuple[int, ...]
    # Points whose Jacobian was asked for, and those of them that the substitute did not read as the oracle does.
    points: int
    disagreed: int


def steal(lab: Lab, oracle: Oracle, seeds: np.ndarray, name: str) -> Theft:
    """Train substitutes, each on from the weights of the one before, on seeds (n, C, H, W) and what they grow to."""
    S, substitutes, queries, points, disagreed = seeds, list[str](), list[int](), 0, 0
    label = oracle.labels(f"{name}: seeds", S)
    for rho in range(AUGMENTATIONS + 1):
        data = lab.upload_data(f"{name}: {len(S)} points", S, label, classes=CLASSES)
        # The first one is fresh, the others go on from the one before.
        begin = {"architecture": "", "initial_model": substitutes[-1]} if substitutes else {"architecture": "mlp"}
        model = lab.train(
            f"{name}: substitute of {len(S)} labels",
            data=data,
            optimization=TRAINING,
            seed=lab.seed + rho,
            **begin,
        )
        substitutes.append(model)
        queries.append(oracle.asked)
        if rho < AUGMENTATIONS:
            sign, wrong = jacobian_sign(lab, model, data, S, label)
            points, disagreed = points + len(S), disagreed + wrong
            lambda_ = STEP * (-1.0) ** (rho // ALTERNATE)
            fresh = np.clip(S + np.float32(lambda_) * sign, 0, 1).astype(np.float32)
            S, label = np.concatenate([S, fresh]), np.concatenate([label, oracle.labels(f"{name}: new points", fresh)])
    return Theft(substitutes=tuple(substitutes), queries=tuple(queries), points=points, disagreed=disagreed)


def jacobian_sign(lab: Lab, model: str, data: str, x: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, int]:
    """The sign of J_F(x)[label], (N, C, H, W) float32 of -1 and 1, and how many samples F reads otherwise.

    Read from where FGSM goes, which is sign(grad J) = -sign(J_F[label]) for the cross-entropy J: away from the label
    where F agrees with it. Where F does not, there is nothing for it to lead away from; there FGSM leads towards the
    label. `data` holds x and label.
    """
    away = lab.attack(model, f"fgsm:epsilon={STEP}", data=data, count=len(x))
    sign = -_direction(x, away.arrays["x_adv"])
    believed = away.arrays["clean_prediction"]
    other = np.flatnonzero(believed != label)
    if len(other):
        sign[other] = _towards(lab, model, x[other], label[other], believed[other])
    return sign, len(other)


def _towards(lab: Lab, model: str, x: np.ndarray, label: np.ndarray, believed: np.ndarray) -> np.ndarray:
    """The same of samples that F reads as `believed`, another class than `label`.

    The goal `each` leads sample i of a dataset towards class i mod 10; so the samples are laid out by their labels, and
    what is left free is filled up with the first one, whose results there are not looked at.
    """
    turn = np.array([np.sum(label[:place] == own) for place, own in enumerate(label)])
    place = CLASSES * turn + label
    rows = np.zeros(CLASSES * (int(turn.max()) + 1), dtype=np.int64)
    rows[place] = np.arange(len(label))
    data = lab.upload_data("points that the substitute reads otherwise", x[rows], believed[rows], classes=CLASSES)
    found = lab.attack(model, f"fgsm:epsilon={STEP},target=each", data=data, count=len(rows))
    return _direction(x, found.arrays["x_adv"][place])


def _direction(x: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Which way each pixel went, -1 or 1; one that is where it was, at an end of [0, 1], wanted to go beyond.

    A pixel with a slope of exactly 0 stays as well, and is taken for one that wanted to go to the nearer end.
    """
    return np.where(moved > x, 1, np.where(moved < x, -1, np.where(x < 0.5, -1, 1))).astype(np.float32)
