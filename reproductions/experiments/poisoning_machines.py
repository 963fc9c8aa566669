"""Biggio's protocol on digits: who learns, who attacks and who judges, drawn afresh for each pair and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Final

import numpy as np
from sparring import submit
from sparring.requests import DataLike
from sparring.v1.jobs_pb2 import Job

from reproductions import asking
from reproductions.lab import Lab
from reproductions.samples import samples

LEARNED, VALIDATION, JUDGED = 100, 500, 1000
POINTS: Final = (1, 3, 5)
STEPS: Final = 60


def started(lab: Lab, title: str, data: DataLike, poison: str, fractions: Sequence[float], **given: Any) -> Job:
    """Ask for a poisoning, and do not wait for it; `given` is what else `client.poison` takes."""
    request = submit.poison(data, poison, fractions, **{"seed": lab.seed + 1, **given})
    return lab.start(request, f"{lab.name}: {title}")


def everything(lab: Lab) -> tuple[np.ndarray, np.ndarray]:
    """All 10,000 digits, as grey levels: the protocol needs 1,600 of two classes."""
    parts = [samples(lab, f"mnist10k/{split}") for split in ("train", "test")]
    x, y = (np.concatenate(both) for both in zip(*parts, strict=True))
    return np.rint(255 * x).astype(np.uint8), y


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Uploads of one pair and seed: 600 digits for learner and attacker, and up to 1,000 others to judge on.

    The attacked class is 0 and the attacking one 1 in both.
    """

    name: str
    learned: str
    judged: str
    seed: int


def drawn(lab: Lab, pair: tuple[int, int], digits: tuple[np.ndarray, np.ndarray], seed: int) -> Drawn:
    """Draw the digits of a pair, `pair` being the attacking class and the attacked one, and upload them."""
    x, y = digits
    order = np.random.default_rng((lab.seed, seed, *pair)).permutation(np.flatnonzero(np.isin(y, pair)))
    name = f"{pair[0]} against {pair[1]}, {seed}"
    parts = order[: LEARNED + VALIDATION], order[LEARNED + VALIDATION :][:JUDGED]
    learned, judged = (
        lab.upload_data(name, x[part], (y[part] == pair[0]).astype(np.int64), classes=2) for part in parts
    )
    return Drawn(name=name, learned=learned, judged=judged, seed=lab.seed + seed)


def machine(lab: Lab, given: Drawn) -> dict[str, Job]:
    """Poison the 100 digits that are learned: by moved points, by the same points unmoved, and by random flips.

    Flips have the first 100 of the 600; the attack draws its own.
    """
    name = given.name
    fractions = [points / LEARNED for points in POINTS]
    whole, first = asking.selection(given.learned), asking.selection(given.learned, LEARNED)
    duel = f"svm_gradient:attacking_label=1,attacked_label=0,svm_samples={LEARNED},svm_validation={VALIDATION}"
    common: dict[str, Any] = {
        "architecture": "linear_svm",
        "cost": 1.0,
        "evaluation_data": asking.selection(given.judged),
        "seed": given.seed,
    }
    return {
        "moved": started(lab, f"{name}: moved", whole, f"{duel},ascent_steps={STEPS}", fractions, **common),
        "unmoved": started(lab, f"{name}: unmoved", whole, f"{duel},ascent_steps=0", fractions, **common),
        "flips": started(lab, f"{name}: flips", first, "label_flip", fractions, **common),
    }


def averaged(lab: Lab, jobs: Sequence[Mapping[str, Job]]) -> tuple[dict[str, float], int]:
    """Mean errors over the seeds, and how many digits each was judged on."""
    every: dict[str, list[float]] = {}
    judged = 0
    for one in jobs:
        for what, job in one.items():
            for row in lab.wait(job)[0].result.poisoning_rows:
                points, judged = round(row.fraction * LEARNED), row.n
                own_clean = "clean, flips" if what == "flips" else "clean"
                # Moved and unmoved points have the same machine without poison.
                if points or what != "unmoved":
                    every.setdefault(f"{what} {points}" if points else own_clean, []).append(row.error.value)
    return {what: mean(values) for what, values in every.items()}, judged
