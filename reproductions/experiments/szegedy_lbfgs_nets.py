"""The nets of `szegedy_lbfgs`: three linear ones, and two of two hidden layers; and three trained on halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reproductions.lab import Lab

TRAIN: Final = 8000
HALF: Final = 4000
# Weight decay of the linear nets, decay / 2 |w|^2 beside the mean cross-entropy. The paper's 1e-4, 1e-2 and 1 are in
# units that it does not print; these give about its training errors of 6.7, 10 and 21.2 %.
DECAYS: Final = {"FC10, small decay": 1e-3, "FC10, decay": 2e-2, "FC10, large decay": 0.5}
FULLY: Final = {"FC200, rectified": "mlp", "FC200, sigmoid": "sigmoid_mlp"}
OPTIMIZATION: Final = {"epochs": 20, "batch_size": 100, "learning_rate": 0.002}


@dataclass(frozen=True, kw_only=True)
class Net:
    """A trained net; `settings` say how."""

    model: str
    settings: str


def nets(lab: Lab) -> dict[str, Net]:
    """Fit and train one net of each kind on all training digits."""
    linear = [
        lab.training(name, architecture="softmax_regression", fitting={"cost": 1 / (decay * TRAIN)})
        for name, decay in DECAYS.items()
    ]
    deep = [lab.training(name, architecture=kind, optimization=OPTIMIZATION) for name, kind in FULLY.items()]
    models = lab.models(*linear, *deep)
    settings = [f"784-10, softmax, decay {decay:g}" for decay in DECAYS.values()]
    settings += [f"784-200-200-10, {kind}, {OPTIMIZATION['epochs']} epochs" for kind in FULLY.values()]
    return {
        name: Net(model=model, settings=one)
        for name, model, one in zip([*DECAYS, *FULLY], models, settings, strict=True)
    }


def halves(lab: Lab) -> list[str]:
    """Train a sigmoid and a rectified net on one half of the training digits, and a sigmoid one on the other."""
    wanted: Sequence[tuple[str, int, int]] = (("sigmoid_mlp", 0, 0), ("mlp", 0, 0), ("sigmoid_mlp", HALF, 1))
    return lab.models(
        *(
            lab.training(
                f"{kind} on digits {offset} to {offset + HALF - 1}",
                count=HALF,
                offset=offset,
                architecture=kind,
                # Twice the epochs, as many updates.
                optimization=OPTIMIZATION | {"epochs": 2 * OPTIMIZATION["epochs"]},
                seed=lab.seed + more,
            )
            for kind, offset, more in wanted
        )
    )
