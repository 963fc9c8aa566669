"""What `szegedy_lbfgs` makes of digits: adversarial, amplified and noisy ones; and what nets get wrong of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reproductions.lab import Lab
from reproductions.samples import samples

# Per-pixel size that perturbations are amplified to; and the paper's second one for noise.
AMPLIFIED: Final = 0.1
LOUD: Final = 0.3
TEST: Final = 2000
CLASSES: Final = 10
# Pictures with noise are not in [0, 1], and the service takes no others: a copy of each net sees them in units in which
# this range is [0, 1].
LOW: Final = -2.0
HIGH: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made for one net, of those digits that became their target and did not answer it already."""

    x: np.ndarray  # (N, 1, 28, 28), clean
    x_adv: np.ndarray
    label: np.ndarray  # (N,)
    success: float  # of all that were attacked

    @property
    def distortion(self) -> np.ndarray:
        """sqrt(sum (x' - x)^2 / D) of each digit, (N,)."""
        return rms(self.x_adv - self.x)

    @property
    def amplified(self) -> np.ndarray:
        """The same perturbations, each of size 0.1; not clipped."""
        return sized(self.x, self.x_adv - self.x, AMPLIFIED)


def rms(r: np.ndarray) -> np.ndarray:
    """Root mean square over the pixels of each sample of (N, C, H, W), (N,)."""
    size: np.ndarray = np.sqrt(np.square(r, dtype=np.float64).mean(axis=(1, 2, 3)))
    return size


def sized(x: np.ndarray, r: np.ndarray, size: float) -> np.ndarray:
    """Add the perturbation in another size: x + size r / rms(r), which may leave [0, 1]."""
    factor = size / rms(r)
    moved: np.ndarray = x + factor[:, None, None, None] * r
    return moved


def crafted(lab: Lab, models: Mapping[str, str], attack: str, count: int) -> dict[str, Made]:
    """Attack every model, by its name, on the same first test digits."""
    x, _ = samples(lab, "mnist10k/test", count=count)
    jobs = [lab.attacking(model, attack, count=count) for model in models.values()]
    found = {}
    for name, done in zip(models, lab.attacked(*jobs), strict=True):
        success = done.arrays["success"]
        won = success & (done.arrays["distance"] > 0)
        found[name] = Made(
            x=x[won],
            x_adv=done.arrays["x_adv"][won],
            label=done.arrays["label"][won],
            success=float(success.mean()),
        )
    return found


def errors(lab: Lab, models: Sequence[str], title: str, x: np.ndarray, y: np.ndarray) -> list[float]:
    """The share of pictures (N, 1, 28, 28) that each model gets wrong, by an evaluation without an attack."""
    data = lab.upload_data(title, x, y, classes=CLASSES)
    rows = lab.evaluate(models, data=data, count=len(y))
    wrong = {row.model: 1 - row.clean_accuracy.value for row in rows if row.attack == "clean"}
    return [wrong[model] for model in models]


def copies(lab: Lab, models: Sequence[str]) -> list[str]:
    """Upload each net once more, behind a normalisation that takes pictures u = (x - LOW) / (HIGH - LOW) back to x."""
    width = HIGH - LOW
    return [
        lab.upload_model(
            f"a copy of {model} that sees {LOW:g} to {HIGH:g}",
            lab.client.models.get(model).signature.architecture,
            lab.weights(model),
            input_shape=(1, 28, 28),
            classes=CLASSES,
            mean=(-LOW / width,),
            std=(1 / width,),
        )
        for model in models
    ]


def errors_beyond(lab: Lab, wide: Sequence[str], title: str, x: np.ndarray, y: np.ndarray) -> list[float]:
    """The same of pictures that leave [0, 1], by the copies of the models."""
    return errors(lab, wide, title, np.clip((x - LOW) / (HIGH - LOW), 0, 1), y)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Errors of some nets on all test digits: clean, and with Gaussian noise of 0.1 and 0.3 per pixel."""

    clean: Sequence[float]
    quiet: Sequence[float]
    loud: Sequence[float]


def noisy(x: np.ndarray, size: float, seed: int) -> np.ndarray:
    """Gaussian noise of a size; not clipped."""
    return sized(x, np.random.default_rng(seed).standard_normal(x.shape), size)


def control(lab: Lab, wide: Sequence[str]) -> Noise:
    """Show the copies noise of the sizes that perturbations are amplified to."""
    x, y = samples(lab, "mnist10k/test", count=TEST)
    return Noise(
        clean=errors_beyond(lab, wide, "test digits", x, y),
        quiet=errors_beyond(lab, wide, "noise of 0.1", noisy(x, AMPLIFIED, lab.seed), y),
        loud=errors_beyond(lab, wide, "noise of 0.3", noisy(x, LOUD, lab.seed + 1), y),
    )
