"""Every attack of the table with parameters for small nets, in every norm and with every kind of goal that it takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from workers.attacks import ATTACKS
from workers.engine.attack import AttackPlan, AttackResult, GoalSpec, run_attack

# Radii that no perturbation of an input in [0, 1] goes beyond.
NO_LIMIT = {"linf": 1.0, "l2": 1000.0, "l1": 1000.0, "l0": 1e6}

SEARCH = {"search_steps": 7, "steps": 100, "initial_c": 0.1}
QUICK_SEARCH = {"search_steps": 2, "steps": 3, "initial_c": 1.0}
ADAM = {"learning_rate": 0.02, "confidence": 0.0}

# What is enough for the linear oracle of 64 pixels; `step_size` is put in for each radius.
THOROUGH = {
    "fgsm": {},
    "bim": {"steps": 20},
    "iterative_least_likely": {"steps": 20},
    "pgd": {"steps": 30, "restarts": 2, "random_start": True, "loss": "cross_entropy"},
    "mi_fgsm": {
        "steps": 20,
        "decay": 1.0,
        "nesterov": False,
        "diversity_probability": 0.0,
        "kernel_size": 0,
        "loss": "cross_entropy",
    },
    "apgd": {"steps": 40, "restarts": 1, "loss": "cross_entropy", "rho": 0.75, "targets": 0},
    "fab": {"steps": 30, "restarts": 1, "targets": 3, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9},
    "square": {"queries": 1500, "p_init": 0.8, "restarts": 1, "loss": "margin"},
    "auto_attack": {"version": "standard", "steps": 20, "queries": 60, "targets": 3},
    "lbfgs": {"search_steps": 8, "steps": 20, "initial_c": 0.01},
    "deepfool": {"steps": 50, "overshoot": 0.02, "candidates": 10},
    "carlini_wagner": {**SEARCH, **ADAM, "abort_early": True},
    "ead": {**SEARCH, **ADAM, "beta": 0.001, "rule": "l1"},
    "ddn": {"steps": 60, "gamma": 0.05, "initial_norm": 1.0},
    "fmn": {"steps": 100, "initial_step": 1.0, "gamma_0": 0.05},
    # On the logits of the linear oracle, each class having pixels of its own, no pixel is salient by Papernot's rule.
    "jsma": {"theta": 1.0, "max_fraction": 0.8, "pairs": True, "use_logits": False},
    "linear_nudge": {"margin": 1.02},
    "nes": {"queries": 3000, "samples": 50, "sigma": 0.001, "momentum": 0.0},
    "simba": {"queries": 4000, "step": 0.01, "basis": "pixel"},
    "boundary": {"queries": 3000, "spherical_step": 0.05, "source_step": 0.05, "step_adaptation": 1.5},
    "hop_skip_jump": {"queries": 3000, "initial_evaluations": 50, "max_evaluations": 1000, "gamma": 1.0},
}

# As little as each can be run with.
QUICK = THOROUGH | {
    "bim": {"steps": 4},
    "iterative_least_likely": {"steps": 4},
    "pgd": {**THOROUGH["pgd"], "steps": 4},
    "mi_fgsm": {**THOROUGH["mi_fgsm"], "steps": 4, "diversity_probability": 0.0},
    "apgd": {**THOROUGH["apgd"], "steps": 5},
    "fab": {**THOROUGH["fab"], "steps": 3, "targets": 2},
    "square": {**THOROUGH["square"], "queries": 20},
    "auto_attack": {"version": "standard", "steps": 3, "queries": 10, "targets": 2},
    "lbfgs": {"search_steps": 2, "steps": 3, "initial_c": 1.0},
    "deepfool": {"steps": 4, "overshoot": 0.02, "candidates": 3},
    "carlini_wagner": {**QUICK_SEARCH, **ADAM, "abort_early": True},
    "ead": {**QUICK_SEARCH, **ADAM, "beta": 0.001, "rule": "en"},
    "ddn": {**THOROUGH["ddn"], "steps": 6},
    "fmn": {**THOROUGH["fmn"], "steps": 6},
    "jsma": {**THOROUGH["jsma"], "max_fraction": 0.2},
    "nes": {**THOROUGH["nes"], "queries": 40, "samples": 4},
    "simba": {**THOROUGH["simba"], "queries": 20},
    "boundary": {**THOROUGH["boundary"], "queries": 40},
    "hop_skip_jump": {**THOROUGH["hop_skip_jump"], "queries": 60, "initial_evaluations": 5},
}

# These need a model of their own kind, or make pictures from nothing; they have batteries of their own.
SPECIAL = {
    "tree_walk",
    "nearest_neighbor",
    "eot_pgd",
    "fooling_gradient",
    "fooling_map_elites",
    "fooling_cppn",
    "plugin",
}


@dataclass(frozen=True)
class Case:
    """An attack, a norm, a kind of goal."""

    name: str
    norm: str
    goal: str

    def __str__(self) -> str:
        return f"{self.name}-{self.norm}-{self.goal}"

    @property
    def minimum(self) -> bool:
        """Whether it looks for the shortest way, its radius being nothing but a limit."""
        return ATTACKS[self.name].minimum

    @property
    def reads(self) -> str:
        """What it learns of the model."""
        return ATTACKS[self.name].reads

    def plan(self, epsilon: float, *, quick: bool = True, label: int | None = None, **changes) -> AttackPlan:
        """The attack at a radius, every parameter set."""
        parameters = {**(QUICK if quick else THOROUGH)[self.name], **changes}
        if "step_size" in ATTACKS[self.name].parameters:
            parameters.setdefault("step_size", max(1e-4, 2.5 * epsilon / parameters.get("steps", 20)))
        goal = GoalSpec(kind=self.goal, label=label if self.goal == "label" else None)
        return AttackPlan(name=self.name, norm=self.norm, epsilon=epsilon, parameters=parameters, goal=goal)

    def run(
        self, model, x, y, epsilon: float, *, batch_size: int = 8, seed: int = 1, ids=None, **changes
    ) -> AttackResult:
        """Attack a handful of samples."""
        options = {name: changes.pop(name) for name in ("monitor", "survivors_only") if name in changes}
        ids = torch.arange(len(x)) if ids is None else ids
        plan = self.plan(epsilon, **changes)
        return run_attack(model, x, y, plan, sample_ids=ids, seed=seed, batch_size=batch_size, **options)


def goals_of(name: str) -> tuple[str, ...]:
    """No target, and a given one, where it takes one."""
    entry = ATTACKS[name]
    if entry.own_goal is not None:
        return (entry.own_goal,)
    return ("untargeted", "label") if entry.targeted else ("untargeted",)


CASES = [
    Case(name, norm, goal)
    for name in sorted(set(ATTACKS) - SPECIAL)
    for norm in sorted(ATTACKS[name].norms)
    for goal in goals_of(name)
]
