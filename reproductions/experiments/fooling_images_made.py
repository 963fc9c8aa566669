"""How `fooling_images` asks for pictures of nothing, and what it asks about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from sparring import submit
from sparring.v1.jobs_pb2 import Job

from reproductions import asking
from reproductions.lab import Attacked, Lab
from reproductions.pictures import in_files

CLASSES: Final = 10
OFFSPRING: Final = 200
LAST: Final = 200  # generation by which evolution is judged
NETWORK: Final = {"epochs": 10, "batch_size": 100, "learning_rate": 0.005}
METHODS: Final = {
    "gradient ascent": "fooling_gradient:steps=300,learning_rate=0.01,decay=0.01",
    "MAP-Elites, direct": f"fooling_map_elites:offspring={OFFSPRING}",
    "MAP-Elites, CPPN": f"fooling_cppn:offspring={OFFSPRING}",
}
EVOLVED: Final = tuple(METHODS)[1:]


@dataclass(frozen=True, kw_only=True)
class Fooling:
    """Pictures of nothing, one for each class in turn, and how sure the network is that they are of it."""

    pictures: np.ndarray  # (N, C, H, W) in [0, 1]
    target: np.ndarray  # (N,)
    sure: np.ndarray  # (N,) probability of the target, 0 where the network answers another class


def ask(
    lab: Lab,
    model: str,
    method: str,
    *,
    generations: int = 0,
    archives: int = 1,
    data: str = "mnist10k/test",
    classes: int = CLASSES,
) -> Job:
    """Ask for pictures: sample i of `data` is to be of class i modulo `classes`; of the samples only the shape is used.

    A batch is one archive of champions, with random numbers of its own. `generations` 0: the server's default, 200.
    """
    kind = METHODS[method] + (f",generations={generations}" if generations else "") + ",target=each"
    chosen = asking.selection(data, archives * classes)
    spec = submit.attack(model, chosen, kind, seed=lab.seed, batch_size=classes)
    return lab.start(spec, f"{method}, {archives} x {classes} classes")


def made(lab: Lab, *jobs: Job) -> list[Fooling]:
    """Wait for pictures."""
    return [fooling(done) for done in lab.attacked(*jobs)]


def fooling(done: Attacked) -> Fooling:
    """What a job made."""
    arrays = done.arrays
    reached = arrays["prediction"] == arrays["target"]
    return Fooling(
        pictures=arrays["x_adv"],
        target=arrays["target"],
        sure=np.where(reached, arrays["confidence"], 0),
    )


def network(lab: Lab, title: str, *, data: str = "mnist10k/train") -> str:
    """Train Wong's network, on digits or on other data."""
    return lab.train(title, data=data, architecture="wong_cnn", optimization=NETWORK)


def nearest(pictures: np.ndarray, known: np.ndarray) -> np.ndarray:
    """L2 distance of each picture to the nearest of the known ones, (N,)."""
    a, b = (part.reshape(len(part), -1).astype(np.float64) for part in (pictures, known))
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    distance: np.ndarray = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return distance


def second_opinions(lab: Lab, kinds: Mapping[str, str], found: Mapping[str, Fooling]) -> dict[str, dict[str, float]]:
    """By method and by kind of model: the share of the pictures that it takes for the class they were made for."""
    data = lab.upload_data(
        "pictures of nothing",
        np.concatenate([in_files(one.pictures) for one in found.values()]),
        np.concatenate([one.target for one in found.values()]),
        classes=CLASSES,
    )
    said, offset = {}, 0
    for method, one in found.items():
        rows = lab.evaluate(list(kinds.values()), data=data, count=len(one.target), offset=offset)
        by_model = {row.model: row.clean_accuracy.value for row in rows}
        said[method] = {kind: by_model[model] for kind, model in kinds.items()}
        offset += len(one.target)
    return said
