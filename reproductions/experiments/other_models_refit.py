"""Adversarial refitting, kind by kind: fit, attack the training samples, add the copies, fit again, attack again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from reproductions.answers import about, errors
from reproductions.asking import Values
from reproductions.experiments.other_models_linear import EPSILON, FGSM, PGD
from reproductions.lab import Attacked, Lab

# Of the walk, which is judged by how far it went, and of rounding.
SLACK: Final = 1e-6
WALK: Final = "tree_walk"
SQUARE: Final = f"square:epsilon={EPSILON},queries=300"


def _smoothed(steps: int) -> str:
    return f"nearest_neighbor:epsilon={EPSILON},steps={steps},temperature=10"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of model: how it is fitted, its own attack, and a stronger one beside it."""

    title: str
    fitting: Values
    own: str = FGSM
    stronger: str = PGD
    quick: bool = True


KINDS: Final[Mapping[str, Kind]] = {
    "softmax_regression": Kind(title="softmax regression", fitting={"cost": 0.1}),
    "linear_svm": Kind(title="linear SVM", fitting={"cost": 0.1}),
    "rbf_svm": Kind(title="RBF SVM", fitting={"cost": 5}, quick=False),
    "nearest_neighbors": Kind(
        title="nearest neighbour", fitting={"neighbors": 1}, own=_smoothed(1), stronger=_smoothed(20)
    ),
    "decision_tree": Kind(title="decision tree", fitting={"max_depth": 40}, own=WALK, stronger=SQUARE),
    "random_forest": Kind(
        title="random forest", fitting={"max_depth": 40, "trees": 20}, own=WALK, stronger=SQUARE, quick=False
    ),
}


@dataclass(frozen=True, kw_only=True)
class Refitted:
    """What refitting did; errors from 0 to 1, pairs are before and after."""

    title: str
    clean: tuple[float, float]
    own: tuple[float, float]  # under the kind's own attack, made afresh for each of the two
    stronger: tuple[float, float]
    old: float  # of the refitted model on what was made for the first one
    learned: float  # of the refitted model on the copies that it learned
    copies: int


def refitted(
    lab: Lab, name: str, learned: tuple[np.ndarray, np.ndarray], judged: tuple[np.ndarray, np.ndarray]
) -> Refitted:
    """Fit and refit one kind on the first digits of the training split, attack the first of the test split.

    `learned` and `judged` are these digits, (N, C, H, W) and labels (N,).
    """
    kind, (x, y), few = KINDS[name], judged, len(learned[1])
    first, again = lab.models(
        lab.training(f"{kind.title}, {few}", count=few, architecture=name, fitting=kind.fitting),
        lab.training(
            f"{kind.title}, {few}, refitted",
            count=few,
            architecture=name,
            fitting=kind.fitting,
            defense="adversarial_refit",
            parameters={"epsilon": EPSILON, "refits": 1},
        ),
    )
    own, fresh, copied, *stronger = lab.attacked(
        lab.attacking(first, kind.own, count=len(y)),
        lab.attacking(again, kind.own, count=len(y)),
        lab.attacking(first, kind.own, data="mnist10k/train", count=few),
        lab.attacking(first, kind.stronger, count=len(y)),
        lab.attacking(again, kind.stronger, count=len(y)),
    )
    # A copy that lies further away was not learned, and what was not moved is no copy.
    far = distance(copied, learned[0])
    useful = (far > 0) & (far <= EPSILON + SLACK)
    pictures = np.concatenate([own.arrays["x_adv"], copied.arrays["x_adv"][useful]])
    told = about(lab, [again], f"{kind.title}: old attack and copies", pictures, classes=10)[0]
    clean = errors(lab.evaluate([first, again], count=2000))
    return Refitted(
        title=kind.title,
        clean=(clean[first]["clean"], clean[again]["clean"]),
        own=(within(own, x), within(fresh, x)),
        stronger=(within(stronger[0], x), within(stronger[1], x)),
        old=float((told[: len(y)] != y).mean()),
        learned=float((told[len(y) :] != learned[1][useful]).mean()) if useful.any() else 0.0,
        copies=int(useful.sum()),
    )


def distance(found: Attacked, x: np.ndarray) -> np.ndarray:
    """The largest change of a pixel of each sample, (N,)."""
    moved: np.ndarray = np.abs(found.arrays["x_adv"] - x).reshape(len(x), -1).max(axis=1)
    return moved


def within(found: Attacked, x: np.ndarray) -> float:
    """The error under an attack, where one that went further than epsilon counts for nothing."""
    near = distance(found, x) <= EPSILON + SLACK
    answer = np.where(near, found.arrays["prediction"], found.arrays["clean_prediction"])
    return float((answer != found.arrays["label"]).mean())
