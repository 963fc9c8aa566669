"""A network that learns to call pictures of nothing by their name, and is fooled again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np

from reproductions.experiments.fooling_images_made import CLASSES, EVOLVED, LAST, OFFSPRING, Fooling, ask, made, network
from reproductions.lab import Lab
from reproductions.pictures import in_files

NOTHING: Final = 10  # the eleventh class


def retrained(
    lab: Lab,
    found: Mapping[str, Fooling],
    x: np.ndarray,
    y: np.ndarray,
    *,
    rounds: int,
    archives: int,
    generations: int,
) -> None:
    """Learn pictures of nothing as an eleventh class, look for new ones that pass for digits, and begin again.

    `x`, `y`: the digits. What is found goes into the next round's training set, with the champions of `archives` short
    runs of `generations`.
    """
    digits, nothings = in_files(x), [in_files(one.pictures) for one in found.values()]
    medians: list[float] = []
    learned = 0
    for number in range(1, rounds + 1):
        more = np.concatenate(nothings)
        labels = np.concatenate([y, np.full(len(more), NOTHING)])
        title = f"digits and {len(more)} pictures of nothing"
        data = lab.upload_data(title, np.concatenate([digits, more]), labels, classes=CLASSES + 1)
        model = network(lab, f"network of digits and nothing, round {number}", data=data)
        evolve = partial(ask, lab, model, EVOLVED[1], data=data, classes=CLASSES + 1)
        wanted = [evolve(generations=LAST)]
        if number < rounds:  # what is learned of them in the next round
            wanted.append(evolve(generations=generations, archives=archives))
        new, *others = made(lab, *wanted)
        sure = new.sure[new.target != NOTHING]
        medians.append(float(np.median(sure)))
        learned = len(more)
        nothings += [in_files(one.pictures[one.target != NOTHING]) for one in (new, *others)]
    listed = ", ".join(f"{median:.4f}" for median in medians)
    lab.row(
        "learning an eleventh class, nothing: median confidence of new pictures",
        paper="MNIST, 15 rounds: stays 72 to 99.99 % (recalled)",
        ours=f"{listed} after {rounds} round(s), {learned} pictures learned in the last",
        n=CLASSES,
        settings=f"MAP-Elites, CPPN, {LAST} generations of {OFFSPRING} against the network that learned them",
    )
    lab.bar("retrained", medians[-1] >= 0.9, listed)
