"""What is asked of the attack engine, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from torch import Tensor

from workers.attacks import ATTACKS, AttackEntry
from workers.failures import Rejected
from workers.losses import LOSSES, TARGETED_LOSSES, Loss
from workers.threats import BALLS, Ball

Value = float | int | bool | str
Choice = Literal["untargeted", "label", "random", "least_likely"]

_CHOICES: Final = ("untargeted", "label", "random", "least_likely")


@dataclass(frozen=True, kw_only=True)
class GoalSpec:
    """What the attack is after, before any sample is known; mirrors `sparring.v1.Goal`."""

    kind: Choice = "untargeted"
    # The chosen class where `kind` is "label", 0 <= label < classes; None otherwise.
    label: int | None = None


@dataclass(frozen=True, kw_only=True)
class AttackPlan:
    """One attack with every parameter set; mirrors `sparring.v1.Attack`.

    `parameters` are the fields of the attack's message other than `epsilon` and `norm`, enumerations by their short
    names: {"steps": 40, "step_size": 0.01, "restarts": 1, "random_start": True, "loss": "cross_entropy"}.
    """

    name: str
    epsilon: float
    norm: str = "linf"
    parameters: Mapping[str, Value] = field(default_factory=dict)
    goal: GoalSpec = field(default_factory=GoalSpec)


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """What became of each of N samples, in the order they were given, on their device; nothing aliases the input.

    Everything about `x_adv` comes from one fresh float32 forward at the very end, not from the attack's own view.
    Robust accuracy is the mean of `prediction == y`, success rate is success / attacked.
    """

    x_adv: Tensor  # (N, ...) float32; of a sample that did not break, the best loss found; of one not attacked, x
    clean_prediction: Tensor  # (N,) int64
    clean_confidence: Tensor  # (N,) float32, probability of the clean prediction
    prediction: Tensor  # (N,) int64
    confidence: Tensor  # (N,) float32, probability of the prediction
    # Right on the clean input and wrong now; with a target: answers the target. Never where `attacked` is false.
    success: Tensor  # (N,) bool
    # Counts. Not: wrong already on the clean input (untargeted), or the target is the true label (targeted).
    attacked: Tensor  # (N,) bool
    # The input gradient gave no direction in the first step: exactly 0, or not finite. A sign of masked gradients.
    zero_gradient: Tensor  # (N,) bool
    distance: Tensor  # (N,) float32, in the plan's norm
    target: Tensor  # (N,) int64, -1 where there is none
    forwards: Tensor  # (N,) int64, clean and verifying forwards included
    backwards: Tensor  # (N,) int64
    seconds: float
    # Results outside ball or box by more than `threats.TOLERANCE`, or not finite: a bug, never a success.
    violations: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A plan whose names have been looked up."""

    entry: AttackEntry
    ball: Ball
    goal: GoalSpec
    loss: Loss
    restarts: int
    survivors_only: bool
    keywords: Mapping[str, Value]

    @property
    def starts_clean(self) -> bool:
        """Whether the first gradient is asked for at the clean input."""
        return not self.keywords.get("random_start", False)

    @property
    def calls(self) -> int:
        """Gradients that the attack asks for in one run."""
        return int(self.keywords.get("steps", 1))

    @property
    def total_calls(self) -> int:
        """Gradients that it asks for in all its restarts."""
        return self.restarts * self.calls


def look_up(plan: AttackPlan, *, survivors_only: bool) -> Recipe:
    """Turn names into functions; raises `Rejected` for whatever could never run."""
    entry = ATTACKS.get(plan.name)
    if entry is None:
        raise Rejected("UNKNOWN_ATTACK", f"there is no attack {plan.name!r}; there are {', '.join(sorted(ATTACKS))}")
    given, known = set(plan.parameters), entry.parameters | entry.engine_parameters
    if given != known:
        raise _bad(plan, f"needs the parameters {sorted(known)}, got {sorted(given)}")
    if plan.norm not in entry.norms:
        raise _bad(plan, f"norm must be one of {sorted(entry.norms)}, not {plan.norm!r}")
    if not (math.isfinite(plan.epsilon) and plan.epsilon >= 0):
        raise _bad(plan, f"epsilon must be a finite number >= 0, not {plan.epsilon}")
    for name in ("steps", "restarts"):
        if name in known and (value := plan.parameters[name]) != max(1, int(value)):
            raise _bad(plan, f"{name} must be a whole number >= 1, not {value}")
    loss = str(plan.parameters.get("loss", "cross_entropy"))
    if loss not in LOSSES:
        raise _bad(plan, f"loss must be one of {sorted(LOSSES)}, not {loss!r}")
    goal = _goal(plan, entry)
    return Recipe(
        entry=entry,
        ball=BALLS[plan.norm](plan.epsilon),
        goal=goal,
        loss=(LOSSES if goal.kind == "untargeted" else TARGETED_LOSSES)[loss],
        restarts=_restarts(plan.parameters),
        survivors_only=survivors_only,
        keywords={name: plan.parameters[name] for name in entry.parameters},
    )


def _restarts(parameters: Mapping[str, Value]) -> int:
    """From the clean input every restart would be the same run."""
    return int(parameters.get("restarts", 1)) if parameters.get("random_start", False) else 1


def _goal(plan: AttackPlan, entry: AttackEntry) -> GoalSpec:
    if plan.goal.kind not in _CHOICES:
        raise _bad(plan, f"the goal must be one of {list(_CHOICES)}, not {plan.goal.kind!r}")
    if (plan.goal.kind == "label") != (plan.goal.label is not None):
        raise _bad(plan, 'the goal "label", and no other, needs a label')
    if entry.own_goal is None:
        return plan.goal
    if plan.goal.kind not in ("untargeted", entry.own_goal):
        raise _bad(plan, f"has its own target, so it can't be given the goal {plan.goal.kind!r}")
    return GoalSpec(kind=entry.own_goal)


def _bad(plan: AttackPlan, what: str) -> Rejected:
    return Rejected("BAD_ATTACK_PARAMETERS", f"{plan.name}: {what}")
