"""The defenses: one file each, and this table of them.

A defense is a frozen dataclass whose fields are those of its message in `sparring/v1/defenses.proto`, where ranges and
defaults stand. Its core is the loss of one batch, which `workers.engine.train` minimises:

    loss(model, x, y, *, teacher, round_, progress, generator) -> scalar

`x` (N, C, H, W) float32 in [0, 1], `y` (N,) int64; `model` comes in training mode and is given back in it; `generator`
is keyed by the step.

    rounds(epochs) -> ((epochs, fresh), ...)

A training goes in rounds, most in one. Each has an optimiser and a learning-rate cycle of its own, and `progress` runs
from 0 to 1 within it. A fresh round begins a network from the initial weights, and the one before it becomes the
`teacher`, frozen and in eval mode; other rounds go on with the network they find. The last network is the result.

To add one: a message there, a file here, a line below, a row in the resume test, a line in the changelog.
"""

from __future__ import annotations

from typing import Final

from workers.defenses.distillation import DefensiveDistillation
from workers.defenses.fgsm_adversarial import FgsmAdversarialTraining
from workers.defenses.pgd_adversarial import PgdAdversarialTraining
from workers.defenses.standard import StandardTraining

__all__ = [
    "DEFENSES",
    "DefensiveDistillation",
    "FgsmAdversarialTraining",
    "PgdAdversarialTraining",
    "StandardTraining",
]

_Defense = StandardTraining | FgsmAdversarialTraining | PgdAdversarialTraining | DefensiveDistillation

# By the name of the field in `sparring.v1.Defense`.
DEFENSES: Final[dict[str, type[_Defense]]] = {
    "standard": StandardTraining,
    "fgsm_adversarial": FgsmAdversarialTraining,
    "pgd_adversarial": PgdAdversarialTraining,
    "distillation": DefensiveDistillation,
}
