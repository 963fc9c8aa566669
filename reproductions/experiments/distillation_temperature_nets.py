"""The nets of defensive distillation, which two experiments look at: one without it, one for each temperature.

Asked for in the same words by both, so whichever comes second finds them trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from reproductions import asking
from reproductions.lab import Lab

ARCHITECTURE: Final = "dropout_mlp"  # 784-200-200-10, rectified, dropout 1/2
# Temperature 0 stands for a net that was not distilled.
NONE: Final = 0
TEMPERATURES: Final = (NONE, 1, 2, 5, 10, 20, 30, 40, 50, 100)
QUICK: Final = (NONE, 1, 10, 40, 100)
EPOCHS: Final = 40
SETTINGS: Final = f"{ARCHITECTURE}, SGD 0.02 one cycle, {EPOCHS} epochs for teacher and student each"

# Its linear layers, by the names of their tensors.
LAYERS: Final = ("1", "4", "7")


def trained(lab: Lab, temperatures: Sequence[int]) -> dict[int, str]:
    """Train a net for each temperature; their names."""
    jobs = [
        lab.start(
            asking.training(
                asking.selection("mnist10k/train"),
                architecture=ARCHITECTURE,
                defense="standard" if T == NONE else "distillation",
                parameters=None if T == NONE else {"temperature": T, "teacher_epochs": EPOCHS},
                optimization={"epochs": EPOCHS, "batch_size": 100, "learning_rate": 0.02, "optimizer": "sgd"},
                seed=lab.seed,
            ),
            f"defensive distillation: {called(T)}",
        )
        for T in temperatures
    ]
    return dict(zip(temperatures, lab.models(*jobs), strict=True))


def called(temperature: int) -> str:
    """Say which net it is."""
    return "none" if temperature == NONE else f"T = {temperature}"


def cooled(tensors: Mapping[str, np.ndarray], temperature: int) -> dict[str, np.ndarray]:
    """Divide the logits of a net by a temperature, in its last layer: the same answers, and a softmax with a slope."""
    last = {f"{LAYERS[-1]}.weight", f"{LAYERS[-1]}.bias"}
    return {
        name: (tensor / np.float32(temperature) if name in last else tensor).astype(np.float32)
        for name, tensor in tensors.items()
    }
