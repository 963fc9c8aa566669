"""Pictures of nothing: samples of N(0, I), which a classifier should not be sure of (arXiv:1412.6572, appendix)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from reproductions.answers import percent
from reproductions.experiments.fgsm_nets import CLASSES, SHAPE, seen_through
from reproductions.lab import Lab
from reproductions.samples import UNCHANGED
from reproductions.wide import Wide

# Eight standard deviations: of ten million numbers none is beyond.
BOX: Final = Wide(-8.0, 8.0)
# More than one half for one class is an answer, and every answer is an error.
SURE: Final = 0.5
NETS: Final = {
    "maxout": ("maxout_mlp", "98.35% (92.8%)"),
    "softmax": ("softmax_regression", "59.8% (70.8%)"),
    "rbf": ("rbf_network", "0%"),
    "adversarial": ("maxout_mlp", "none"),
}


def rubbish(lab: Lab, models: Mapping[str, str], count: int) -> None:
    """Ask each net about noise, and write down how often it is sure of a digit."""
    noise = np.random.default_rng(lab.seed).standard_normal((count, *SHAPE))
    data = lab.upload_data("N(0, I)", BOX.narrow(noise), np.zeros(count), classes=CLASSES)
    asked = [
        lab.attacking(seen_through(lab, models[name], kind, BOX), UNCHANGED, data=data, count=count)
        for name, (kind, _) in NETS.items()
    ]
    shares = {}
    for (name, (_, paper)), found in zip(NETS.items(), lab.attacked(*asked), strict=True):
        confidence = found.arrays["confidence"]
        sure = confidence > SURE
        shares[name] = float(sure.mean())
        mean = percent(float(confidence[sure].mean())) if sure.any() else "nobody"
        lab.row(
            f"rubbish class N(0, I), {name}: share that is given a class (its mean confidence)",
            paper=paper,
            ours=f"{percent(shares[name])} ({mean})",
            n=count,
            settings="a class with more than one half of the probability",
        )
    lab.bar("rubbish-maxout", shares["maxout"] >= 0.80, percent(shares["maxout"]))
    lab.bar("rubbish-rbf", shares["rbf"] == 0, percent(shares["rbf"]))
