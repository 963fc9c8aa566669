"""The defenses: one file each, and this table of them.

A defense is a `workers.recipe.Recipe`: a frozen dataclass whose fields are those of its message in
`sparring/v1/defenses*.proto`, where ranges and defaults stand. Its core is the loss of one batch, which
`workers.engine.train` minimises:

    loss(model, x, y, step) -> scalar

To add one: a message there, a file here, a line below, a row in the resume test, a line in the changelog.
"""

from __future__ import annotations

from typing import Final

from workers.defenses.distillation import DefensiveDistillation
from workers.defenses.fgsm_adversarial import FgsmAdversarialTraining
from workers.defenses.pgd_adversarial import PgdAdversarialTraining
from workers.defenses.standard import StandardTraining
from workers.recipe import Recipe

__all__ = [
    "DEFENSES",
    "DefensiveDistillation",
    "FgsmAdversarialTraining",
    "PgdAdversarialTraining",
    "StandardTraining",
]

# By the name of the field in `sparring.v1.Defense`.
DEFENSES: Final[dict[str, type[Recipe]]] = {
    "standard": StandardTraining,
    "fgsm_adversarial": FgsmAdversarialTraining,
    "pgd_adversarial": PgdAdversarialTraining,
    "distillation": DefensiveDistillation,
}
