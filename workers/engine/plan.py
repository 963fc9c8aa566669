"""What is asked of the attack engine, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from torch import Tensor

from workers import plugins
from workers.attacks import ATTACKS, AttackEntry
from workers.failures import Rejected
from workers.losses import LOSSES, STEERED_LOSSES, TARGETED_LOSSES, Loss
from workers.threats import BALLS, Ball

Value = float | int | bool | str
Choice = Literal["untargeted", "label", "random", "least_likely", "each"]

_CHOICES: Final = get_args(Choice)

# An ensemble of ensembles is a mistake.
_DEPTH: Final = 1


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
    # Number of the stage of an ensemble that broke it, from 0 on; of a single attack 0; -1 where nothing did.
    stage: Tensor  # (N,) int64
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
class Step:
    """One attack whose names have been looked up: the whole of a plan, or a stage of an ensemble."""

    entry: AttackEntry
    loss: Loss
    restarts: int
    # Classes to be steered to one by one, the likeliest first; 0: the plan's own goal.
    targets: int
    keywords: Mapping[str, Value]

    @property
    def starts_clean(self) -> bool:
        """Whether the first thing that is asked for is the gradient at the clean input."""
        entry = self.entry
        anywhere = self.keywords.get("random_start", entry.random)
        return not anywhere and self.targets == 0 and entry.reads == "gradients" and not entry.from_nothing

    @property
    def runs(self) -> int:
        """How often it is run on a sample that withstands: restarts, for each class that it is steered to."""
        return self.restarts * max(1, self.targets)

    @property
    def calls(self) -> int:
        """Queries of one run, at most; by these the progress is told."""
        if self.entry.calls is not None:
            return max(1, self.entry.calls(self.keywords))
        return int(self.keywords.get("steps", 1))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A plan whose names have been looked up."""

    steps: tuple[Step, ...]
    ball: Ball
    goal: GoalSpec
    survivors_only: bool

    @property
    def starts_clean(self) -> bool:
        """Whether the clean pass can serve as the first forward."""
        return self.steps[0].starts_clean

    @property
    def from_nothing(self) -> bool:
        """Whether the samples are nothing but numbers."""
        return self.steps[0].entry.from_nothing

    @property
    def total_calls(self) -> int:
        """Queries of all runs, at most."""
        return sum(step.runs * step.calls for step in self.steps)


def look_up(plan: AttackPlan, *, survivors_only: bool) -> Recipe:
    """Turn names into functions; raises `Rejected` for whatever could never run."""
    plan, entry = _entry(plan)
    if plan.norm not in entry.norms:
        raise _bad(plan, f"norm must be one of {sorted(entry.norms)}, not {plan.norm!r}")
    if not (math.isfinite(plan.epsilon) and plan.epsilon >= 0):
        raise _bad(plan, f"epsilon must be a finite number >= 0, not {plan.epsilon}")
    goal = _goal(plan, entry)
    return Recipe(
        steps=tuple(_steps(plan, entry, goal)),
        ball=BALLS[plan.norm](plan.epsilon),
        goal=goal,
        survivors_only=survivors_only,
    )


def _entry(plan: AttackPlan) -> tuple[AttackPlan, AttackEntry]:
    """Return the table's entry, or that of the plug-in that the plan names, and the plan with all its parameters."""
    if plan.name == "plugin":
        given = {name: value for name, value in plan.parameters.items() if name != "name"}
        plugin = plugins.load(str(plan.parameters.get("name", "")))
        return replace(plan, parameters=plugins.parameters(plugin, given)), plugin.entry
    entry = ATTACKS.get(plan.name)
    if entry is None:
        raise Rejected("UNKNOWN_ATTACK", f"there is no attack {plan.name!r}; there are {', '.join(sorted(ATTACKS))}")
    return plan, entry


def _steps(plan: AttackPlan, entry: AttackEntry, goal: GoalSpec, depth: int = 0) -> Iterator[Step]:
    """Yield the attack itself, or the stages of an ensemble."""
    given, known = set(plan.parameters), entry.parameters | entry.engine_parameters
    if given != known:
        raise _bad(plan, f"needs the parameters {sorted(known)}, got {sorted(given)}")
    for name, least in (("steps", 1), ("restarts", 1), ("targets", 0), ("queries", 1)):
        if name in known and (value := plan.parameters[name]) != max(least, int(value)):
            raise _bad(plan, f"{name} must be a whole number >= {least}, not {value}")
    if entry.stages is not None:
        assert depth < _DEPTH, f"{plan.name} has ensembles among its stages"
        for stage in entry.stages(plan.parameters):
            part, member = replace(plan, name=stage.name, parameters=stage.parameters), ATTACKS[stage.name]
            # What counts is whether there is a point in the ball: a sample is done with the first one.
            first = replace(member, keeps="first", strays=True) if member.keeps == "nearest" else member
            yield from _steps(part, first, goal, depth + 1)
        return
    loss = str(plan.parameters.get("loss", "cross_entropy"))
    if loss not in LOSSES:
        raise _bad(plan, f"loss must be one of {sorted(LOSSES)}, not {loss!r}")
    # A goal with a target is reached by one class only: there is nothing to choose between.
    targets = int(plan.parameters.get("targets", 0)) if goal.kind == "untargeted" else 0
    losses = STEERED_LOSSES if targets > 0 else LOSSES if goal.kind == "untargeted" else TARGETED_LOSSES
    yield Step(
        entry=entry,
        loss=losses[loss],
        restarts=_restarts(plan.parameters) if "restarts" in entry.engine_parameters else 1,
        targets=targets,
        keywords={name: plan.parameters[name] for name in entry.parameters},
    )


def _restarts(parameters: Mapping[str, Value]) -> int:
    """Without a random start every restart would be the same run."""
    return int(parameters.get("restarts", 1)) if parameters.get("random_start", True) else 1


def _goal(plan: AttackPlan, entry: AttackEntry) -> GoalSpec:
    if plan.goal.kind not in _CHOICES:
        raise _bad(plan, f"the goal must be one of {list(_CHOICES)}, not {plan.goal.kind!r}")
    if (plan.goal.kind == "label") != (plan.goal.label is not None):
        raise _bad(plan, 'the goal "label", and no other, needs a label')
    if entry.own_goal is not None:
        if plan.goal.kind not in ("untargeted", entry.own_goal):
            raise _bad(plan, f"has its own target, so it can't be given the goal {plan.goal.kind!r}")
        return GoalSpec(kind=entry.own_goal)
    if plan.goal.kind != "untargeted" and not entry.targeted:
        raise _bad(plan, f"has no form with a target, so it can't be given the goal {plan.goal.kind!r}")
    if plan.goal.kind == "untargeted" and entry.from_nothing:
        raise _bad(plan, "makes pictures of chosen classes, so it needs a goal with a target")
    return plan.goal


def _bad(plan: AttackPlan, what: str) -> Rejected:
    return Rejected("BAD_ATTACK_PARAMETERS", f"{plan.name}: {what}")
