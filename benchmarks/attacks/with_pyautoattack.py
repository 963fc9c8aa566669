"""The cases in the words of AutoAttack itself, as packaged in pyautoattack (Croce and Hein, arXiv:2003.01690)."""

from __future__ import annotations

import logging
from typing import Any

from pyautoattack import AutoAttack
from pyautoattack.autopgd_base import APGDAttack
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from benchmarks.attacks.cases import Case
from benchmarks.attacks.ours import Attack

NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
STANDARD = (100, 5000, 9)


def attack(model: nn.Module, case: Case) -> Attack | None:
    """The attack as a function of (x, y); None where the library does not have it."""
    if case.attack not in ("apgd", "square", "auto_attack") or case.target is not None:
        return None
    logging.getLogger("auto-attack").setLevel(logging.ERROR)
    p: dict[str, Any] = dict(case.parameters)
    device = next(model.parameters()).device
    shared: dict[str, Any] = {"norm": NORMS[case.norm], "eps": case.epsilon, "device": device, "seed": 0}
    if case.attack == "auto_attack":
        return _whole(model, p, shared)
    runs = {"n_restarts": p["restarts"], "verbose": False}
    one: Any = (
        APGDAttack(model, n_iter=p["steps"], rho=p["rho"], loss="ce", **runs, **shared)
        if case.attack == "apgd"
        else SquareAttack(model, n_queries=p["queries"], p_init=p["p_init"], resc_schedule=False, **runs, **shared)
    )

    def run(x: Tensor, y: Tensor) -> Tensor:
        return one.perturb(x, y)  # type: ignore[no-any-return]

    return run


def _whole(model: nn.Module, p: dict[str, Any], shared: dict[str, Any]) -> Attack:
    """The standard version, whose steps, queries and target classes are fixed."""
    if (p["steps"], p["queries"], p["targets"]) != STANDARD:
        raise ValueError(f"the standard version has the steps, queries and targets {STANDARD}")
    whole = AutoAttack(model, version="standard", **shared)
    whole.verbose = False
    return lambda x, y: whole.run_standard_evaluation(x, y, batch_size=len(x))[0]
