"""The experiments by name, in the order of the tutorial; each is in the file of its name, as `EXPERIMENT`."""

from __future__ import annotations

import importlib
from typing import Final

from reproductions.experiment import Experiment

NAMES: Final = (
    "linear-example",
    "linear-imagenet",
    "szegedy-lbfgs",
    "fgsm",
    "linearity",
    "bim-vs-fgsm-vs-least-likely",
    "physical-world",
    "fooling-images",
    "adversarial-training-curves",
    "vat",
    "distillation-temperature",
    "distillation-gradients",
    "jsma",
    "black-box-substitute",
    "transferability-matrix",
    "other-models",
    "poisoning",
    "failed-defenses",
)


def find(name: str) -> Experiment:
    """Load one experiment; raises LookupError with the names there are."""
    if name not in NAMES:
        raise LookupError(f"there is no experiment {name!r}; known are: {', '.join(NAMES)}")
    found: Experiment = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").EXPERIMENT
    return found
