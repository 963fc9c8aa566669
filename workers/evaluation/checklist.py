"""The checklist of a robustness report: fourteen points, each answered by one item or more.

     1  threat model              what the attacker wants, knows and may do
     2  identity                  which weights, in which mode, computed by what
     3  clean accuracy            on the same samples, with its interval
     4  worst case                each sample under the attack that breaks it, and what each attack adds
     5  curves and distances      accuracy down to nothing, the shortest perturbations
     6  sanity tests              what must hold between the figures
     7  masked gradients          signs that the gradients say little of the model
     8  randomised, not smooth    defenses that need attacks of their own
     9  adaptive evaluation       what was designed against this very defense
    10  transfer                  what the other models' adversarial examples do
    11  broader checks            other norms, turned and moved pictures, noise, blur
    12  RobustBench               whether the figures may stand beside its
    13  reproduction              what is kept, and the command that checks it
    14  training                  what a report on the training has to add

Sources: arXiv:1902.06705 (checklist), arXiv:2003.01690 (flags of AutoAttack), arXiv:2106.09947 (indicators of attack
failure), arXiv:2002.08347 (adaptive attacks), arXiv:2010.09670 (RobustBench).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Status = Literal["pass", "warn", "fail", "info", "not_done"]

POINTS: Final[Mapping[int, str]] = {
    1: "Threat model",
    2: "Identity of the model",
    3: "Clean accuracy",
    4: "Worst case",
    5: "Curves and distances",
    6: "Sanity tests",
    7: "Masked gradients",
    8: "Randomised and non-differentiable defenses",
    9: "Adaptive evaluation",
    10: "Transfer",
    11: "Broader checks",
    12: "RobustBench",
    13: "Reproduction",
    14: "Training",
}
"""Every point by its number."""


@dataclass(frozen=True)
class ChecklistItem:
    """One line of the checklist.

    point: 1 to 14, as in `POINTS`. key: names it for programs, e.g. "iterated_beats_single_step". title: what it asks.
    status: "fail" means that the figures can't be believed before it is explained, "not_done" that nobody looked.
    text: what was measured and, where something is wrong, what to do. value: the figure, None where there is none.
    model: `models/{model}`, "" where it is about the whole job.
    """

    point: int
    key: str
    title: str
    status: Status
    text: str
    value: float | None = None
    model: str = ""
