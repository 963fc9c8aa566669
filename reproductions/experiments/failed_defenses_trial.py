"""How a row of `failed-defenses` is tried: naively, statically, and by an attack that knows of the defense.

adaptive   the worst of these, digit by digit, each in the box and the ball, steps of a tenth of the radius:
           PGD through the whole model, up the margin of its logits and up their cross-entropy where softmax does not
           saturate (straight through what has no slope: BPDA); of a model that answers at random, PGD on the mean of
           10 slopes (EOT) instead, judged by many answers; and what PGD made for the undefended net (transfer)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reproductions.answers import UNCHANGED, answers
from reproductions.experiments.failed_defenses_rows import RADIUS, SMALL, Row
from reproductions.lab import Lab
from reproductions.samples import samples

DEEPFOOL: Final = "deepfool:steps=50,overshoot=0.02,candidates=10"
FGSM: Final = f"fgsm:epsilon={RADIUS}"
LOSSES: Final = ("margin", "rescaled_cross_entropy")
# The camera of the attack in expectation is switched off: what is random is the model.
STILL: Final = "perspective=0,crop=0,blur=0,noise=0,brightness=0,contrast=0,jpeg_quality=100"
SLOPES: Final = 10


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done: epochs of a training, digits that are attacked, steps of an attack, answers of the random."""

    epochs: int
    digits: int
    steps: int
    asked: int
    curve: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Stand:
    """What every row is judged on: the first test digits, and what was made of them for the undefended net.

    `data` is an upload of all of it, part after part of N pictures each: clean, shortest, static, noise, and PGD by the
    radii of `radii`.
    """

    size: Size
    y: np.ndarray  # (N,)
    data: str
    radii: tuple[float, ...]
    parts: np.ndarray  # (4 + R, N, C, H, W)

    @property
    def count(self) -> int:
        """Pictures of the upload."""
        return len(self.parts) * len(self.y)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A row's figures: the part of answers that is wrong, 0 to 1; `everything`: of all 2,000 test digits, clean."""

    everything: float
    naive: float
    static: float
    adaptive: dict[float, float]  # by radius, 0 for none
    transferred: dict[float, float]  # by radius, PGD for the undefended net alone


def made_ready(lab: Lab, undefended: str, size: Size) -> Stand:
    """Break the undefended net, and upload what does."""
    x, y = samples(lab, "mnist10k/test", count=size.digits)
    radii = tuple(sorted({*size.curve, SMALL, RADIUS}))
    attacks = [DEEPFOOL, FGSM, *(_pgd(radius, LOSSES[0], size.steps) for radius in radii)]
    jobs = [lab.attacking(undefended, attack, count=size.digits) for attack in attacks]
    shortest, static, *best = (found.arrays["x_adv"] for found in lab.attacked(*jobs))
    signs = np.random.default_rng(lab.seed).choice([-RADIUS, RADIUS], x.shape)
    noise = np.clip(x + signs, 0, 1).astype(np.float32)
    parts = np.stack([x, shortest, static, noise, *best])
    data = lab.upload_data(
        "what breaks the undefended net", parts.reshape(-1, *x.shape[1:]), np.tile(y, len(parts)), classes=10
    )
    return Stand(size=size, y=y, data=data, radii=radii, parts=parts)


def tried(lab: Lab, row: Row, model: str, everything: float, stand: Stand) -> Tried:
    """Try a row in every way."""
    radii = stand.radii if row.curve else (SMALL, RADIUS)
    wrong = _wrong_about(lab, row, model, stand)
    place = {"clean": 0, "shortest": 1, "static": 2, "noise": 3}
    by_radius = {radius: wrong[4 + number] for number, radius in enumerate(stand.radii)}
    own = in_expectation(lab, model, stand, radii) if row.random else climbed(lab, model, stand, radii)
    worst = {radius: np.maximum(by_radius[radius], own[radius]) for radius in radii}
    naive = wrong[place[row.naive]] if row.naive in place else _own_naive(lab, row, model, stand)
    return Tried(
        everything=everything,
        naive=float(naive.mean()),
        static=float(wrong[place["static"]].mean()),
        adaptive={0.0: float(wrong[0].mean())} | {radius: float(worst[radius].mean()) for radius in radii},
        transferred={radius: float(by_radius[radius].mean()) for radius in radii},
    )


def climbed(lab: Lab, model: str, stand: Stand, radii: Sequence[float]) -> dict[float, np.ndarray]:
    """By radius, which digits PGD through the whole model breaks by one of its losses, (N,) of 0 and 1."""
    asked = [(radius, loss) for radius in radii for loss in LOSSES]
    jobs = [lab.attacking(model, _pgd(*one, stand.size.steps), count=stand.size.digits) for one in asked]
    found: dict[float, np.ndarray] = {}
    for (radius, _), made in zip(asked, lab.attacked(*jobs), strict=True):
        broken = (made.arrays["prediction"] != stand.y).astype(float)
        found[radius] = np.maximum(found.get(radius, broken), broken)
    return found


def in_expectation(lab: Lab, model: str, stand: Stand, radii: Sequence[float]) -> dict[float, np.ndarray]:
    """By radius, which part of the answers about each digit is wrong after the attack in expectation, (N,)."""
    steps = stand.size.steps
    attacks = [
        f"eot_pgd:epsilon={radius},step_size={radius / 10},steps={steps},samples={SLOPES},{STILL}" for radius in radii
    ]
    made = lab.attacked(*(lab.attacking(model, attack, count=stand.size.digits) for attack in attacks))
    x = np.concatenate([found.arrays["x_adv"] for found in made])
    data = lab.upload_data("made in expectation", x, np.tile(stand.y, len(radii)), classes=10)
    wrong = _asked_again(lab, model, data, np.tile(stand.y, len(radii)), stand.size.asked)
    return dict(zip(radii, wrong.reshape(len(radii), -1), strict=True))


def _wrong_about(lab: Lab, row: Row, model: str, stand: Stand) -> np.ndarray:
    """Which part of the answers about each picture of the stand is wrong, (4 + R, N)."""
    labels = np.tile(stand.y, len(stand.parts))
    if row.random:
        wrong = _asked_again(lab, model, stand.data, labels, stand.size.asked)
    else:
        wrong = (answers(lab, [model], stand.data, count=stand.count)[0] != labels).astype(float)
    return wrong.reshape(len(stand.parts), -1)


def _own_naive(lab: Lab, row: Row, model: str, stand: Stand) -> np.ndarray:
    """The naive evaluations by an attack on the model itself, (N,)."""
    made = lab.attack(model, FGSM if row.naive == "own slope" else DEEPFOOL, count=stand.size.digits)
    if not row.random:
        wrong: np.ndarray = (made.arrays["prediction"] != stand.y).astype(float)
        return wrong
    data = lab.upload_data(f"{row.title}: its own shortest", made.arrays["x_adv"], stand.y, classes=10)
    return _asked_again(lab, model, data, stand.y, stand.size.asked)


def _asked_again(lab: Lab, model: str, data: str, y: np.ndarray, asked: int) -> np.ndarray:
    """The part of so many answers about each picture that is wrong, (N,): the noise of a job depends on its seed."""
    jobs = [lab.attacking(model, UNCHANGED, data=data, count=len(y), seed=seed) for seed in range(asked)]
    wrong = [found.arrays["clean_prediction"] != y for found in lab.attacked(*jobs)]
    share: np.ndarray = np.mean(wrong, axis=0)
    return share


def _pgd(radius: float, loss: str, steps: int) -> str:
    return f"pgd:epsilon={radius},step_size={radius / 10},steps={steps},loss={loss}"
