"""Our attacks as a job calls them: `workers.engine.attack.run_attack`, one batch, a float32 net in our layout."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.attacks.cases import Case
from workers.attacks import ATTACKS
from workers.engine.attack import AttackPlan, GoalSpec, run_attack
from workers.engine.plan import look_up
from workers.engine.propagate import Propagator
from workers.failures import Rejected

Attack = Callable[[Tensor, Tensor], Tensor]


def plan_of(case: Case) -> AttackPlan:
    """The case as a job's plan."""
    goal = GoalSpec() if case.target is None else GoalSpec(kind="label", label=case.target)
    return AttackPlan(
        name=case.attack, epsilon=case.epsilon, norm=case.norm, parameters=dict(case.parameters), goal=goal
    )


def attack(model: nn.Module, case: Case, propagator: Propagator, *, survivors_only: bool) -> Attack | None:
    """The attack as a function of (x, y); None where ours does not have it.

    `propagator` is `propagate.Graphed` on a GPU, as in a job, and `propagate.Eager` where the net counts.
    """
    if case.attack not in ATTACKS:
        return None
    plan = plan_of(case)
    try:
        look_up(plan, survivors_only=survivors_only)
    except Rejected as error:
        print(f"ours: {case.key}: {error}", flush=True)
        return None

    def run(x: Tensor, y: Tensor) -> Tensor:
        ids = torch.arange(len(x))
        return run_attack(
            model,
            x,
            y,
            plan,
            sample_ids=ids,
            seed=0,
            batch_size=len(x),
            survivors_only=survivors_only,
            propagator=propagator,
        ).x_adv

    return run
