"""Who is attacked in `physical_world`, how, and what transformations leave of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sparring import submit

from reproductions import asking, lite0
from reproductions.experiments.physical_world_camera import Camera, Transformation, photograph, transformations
from reproductions.lab import Attacked, Lab
from reproductions.pictures import in_files
from reproductions.samples import samples

PHOTOGRAPH: Final = "photograph, simulated"
PHOTOGRAPHS: Final = 4  # of each picture
METHODS: Final = ("fast", "basic", "least likely", "basic, first hit")
# PGD in expectation over photographs whose camera is switched off is the basic iterative method, and keeps its last
# step; `bim` keeps the first one that fools the model.
_CAMERA_OFF: Final = "samples=1,perspective=0,crop=0,blur=0,jpeg_quality=100,noise=0,brightness=0,contrast=0"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model and the pictures on which it is attacked, `epsilon` in grey levels."""

    title: str
    model: str
    data: str
    count: int
    classes: int
    epsilon: int
    camera: Camera
    x: np.ndarray  # (N, C, H, W) in [0, 1]

    @property
    def steps(self) -> int:
        """Iterations for epsilon (arXiv:1607.02533, section 2.2), of one grey level each."""
        return min(self.epsilon + 4, math.ceil(1.25 * self.epsilon))

    @property
    def attacks(self) -> dict[str, str]:
        """The attacks by the names of METHODS."""
        small = f"epsilon={self.epsilon}/255,steps={self.steps},step_size=1/255"
        last = f"eot_pgd:{small},{_CAMERA_OFF}"
        return dict(
            zip(
                METHODS,
                (f"fgsm:epsilon={self.epsilon}/255", last, f"{last},target=least-likely", f"bim:{small}"),
                strict=True,
            )
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one attack came to: counts of pictures, and the rates of destruction by transformation.

    `fooling`: right when clean, and wrong under the attack. `furthest`: grey levels of the largest change.
    `rates`: of those that fool, the share that is right again after each transformation; "file" is none.
    """

    right: int  # clean
    wrong: int  # under the attack, of all
    reached: int  # that became their target
    fooling: np.ndarray  # (N,) bool
    furthest: int
    rates: Mapping[str, float]
    pictures: np.ndarray  # (N, C, H, W) uint8
    prediction: np.ndarray  # (N,)

    @property
    def fooled(self) -> int:
        """How many fool."""
        return int(self.fooling.sum())


def digits(lab: Lab) -> Subject:
    """A convolutional net, and test digits; 64 grey levels are to it about what 16 are to a photograph."""
    model = lab.train("digits", architecture="wong_cnn", optimization={"epochs": 5, "batch_size": 100})
    count = 100 if lab.quick else 500
    x, _ = samples(lab, "mnist10k/test", count=count)
    return Subject(
        title="digits",
        model=model,
        data="mnist10k/test",
        count=count,
        classes=10,
        epsilon=64,
        camera=Camera(blur=0.5),
        x=x,
    )


def imagenet(lab: Lab) -> Subject:
    """EfficientNet-Lite0 and twenty photographs of ImageNet."""
    model = lite0.upload(lab)
    x, _ = samples(lab, lite0.PICTURES, count=lite0.COUNT, model=model)
    return Subject(
        title="ImageNet",
        model=model,
        data=lite0.PICTURES,
        count=lite0.COUNT,
        classes=lite0.CLASSES,
        epsilon=16,
        camera=Camera(),
        x=x,
    )


def attacked(lab: Lab, subject: Subject) -> dict[str, Outcome]:
    """Attack by every method, transform what fooled, and show it to the model again."""
    attacks = subject.attacks
    jobs = [lab.attacking(subject.model, attack, data=subject.data, count=subject.count) for attack in attacks.values()]
    return {
        method: _outcome(lab, subject, method, done) for method, done in zip(attacks, lab.attacked(*jobs), strict=True)
    }


def _outcome(lab: Lab, subject: Subject, method: str, done: Attacked) -> Outcome:
    label, clean, answer = (done.arrays[name] for name in ("label", "clean_prediction", "prediction"))
    files = in_files(done.arrays["x_adv"])
    fooling = (clean == label) & (answer != label)
    far = np.abs(files.astype(int) - in_files(subject.x).astype(int)).max()
    return Outcome(
        right=int((clean == label).sum()),
        wrong=int((answer != label).sum()),
        reached=int((answer == done.arrays["target"]).sum()),
        fooling=fooling,
        furthest=int(far),
        rates=rates(lab, subject, method, files[fooling], label[fooling]),
        pictures=files,
        prediction=answer,
    )


def rates(lab: Lab, subject: Subject, method: str, files: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """The share of fooling pictures (N, C, H, W) uint8 that are right again after each transformation.

        d = sum_k C(X_k) (1 - C(X'_k)) C(T(X'_k)) / sum_k C(X_k) (1 - C(X'_k))     (section 4, eq. 1)

    All that are given have C(X) = 1 and C(X') = 0, so d is the model's accuracy on T(X'): an evaluation of each T.
    """
    x = files.astype(np.float32) / 255
    changed = {name: in_files(change(x, _draw(lab, name, 0))) for name, change in wanted(subject).items()}
    shots = [in_files(photograph(x, subject.camera, _draw(lab, PHOTOGRAPH, n))) for n in range(PHOTOGRAPHS)]
    parts = {"file": files, **changed, PHOTOGRAPH: np.concatenate(shots)}
    data = lab.upload_data(
        f"{subject.title}, {method}, transformed",
        np.concatenate(list(parts.values())),
        np.concatenate([np.tile(label, len(part) // len(label)) for part in parts.values()]),
        classes=subject.classes,
    )
    return dict(zip(parts, accuracies(lab, subject.model, data, [len(part) for part in parts.values()]), strict=True))


def wanted(subject: Subject) -> dict[str, Transformation]:
    """The artificial transformations of pictures of this size."""
    return transformations(subject.x.shape[-1])


def accuracies(lab: Lab, model: str, data: str, counts: Sequence[int]) -> list[float]:
    """The share of each part of a dataset, one part after the other, that the model gets right."""
    offsets = np.cumsum([0, *counts[:-1]]).tolist()
    jobs = [
        lab.start(submit.evaluate([model], asking.selection(data, count, offset), seed=lab.seed), lab.name)
        for count, offset in zip(counts, offsets, strict=True)
    ]
    return [done.result.rows[0].clean_accuracy.value for done in lab.wait(*jobs)]


def _draw(lab: Lab, name: str, number: int) -> np.random.Generator:
    """A stream of its own for each transformation and repetition."""
    return np.random.default_rng([lab.seed, number, *name.encode()])
