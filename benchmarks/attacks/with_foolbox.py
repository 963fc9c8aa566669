"""The cases in foolbox's words (Rauber et al., 2020, doi:10.21105/joss.02607)."""

from __future__ import annotations

from typing import Any

import foolbox
import torch
from foolbox import attacks
from torch import Tensor, nn

from benchmarks.attacks.cases import Case
from benchmarks.attacks.ours import Attack


def attack(model: nn.Module, case: Case) -> Attack | None:
    """The attack as a function of (x, y); None where the library does not have it."""
    made = _made(case, dict(case.parameters))
    if made is None:
        return None
    device = next(model.parameters()).device
    bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device=device)
    epsilon = None if case.minimum else case.epsilon

    def run(x: Tensor, y: Tensor) -> Tensor:
        criterion = (
            foolbox.criteria.Misclassification(y)
            if case.target is None
            else foolbox.criteria.TargetedMisclassification(torch.full_like(y, case.target))
        )
        _, clipped, _ = made(bounded, x, criterion, epsilons=epsilon)
        return clipped  # type: ignore[no-any-return]

    return run


def _made(case: Case, p: dict[str, Any]) -> Any:
    match case.attack, case.norm:
        case "fgsm", "linf":
            return attacks.LinfFastGradientAttack()
        case "bim", "linf":
            return attacks.LinfBasicIterativeAttack(abs_stepsize=p["step_size"], steps=p["steps"])
        case "pgd", "linf":
            return attacks.LinfPGD(abs_stepsize=p["step_size"], steps=p["steps"], random_start=p["random_start"])
        case "mi_fgsm", "linf":
            return attacks.LinfMomentumIterativeFastGradientMethod(
                momentum=p["decay"], abs_stepsize=p["step_size"], steps=p["steps"]
            )
        case "carlini_wagner", "l2":
            return attacks.L2CarliniWagnerAttack(
                binary_search_steps=p["search_steps"],
                steps=p["steps"],
                stepsize=p["learning_rate"],
                confidence=p["confidence"],
                initial_const=p["initial_c"],
                abort_early=p["abort_early"],
            )
        case "deepfool", "l2":
            return attacks.L2DeepFoolAttack(steps=p["steps"], candidates=p["candidates"], overshoot=p["overshoot"])
        case "ddn", "l2":
            return attacks.DDNAttack(init_epsilon=p["initial_norm"], steps=p["steps"], gamma=p["gamma"])
        case "fmn", "l2":
            return attacks.L2FMNAttack(steps=p["steps"], max_stepsize=p["initial_step"], gamma=p["gamma_0"])
    return None
