"""The cases in torchattacks' words (Kim, arXiv:2010.01950)."""

from __future__ import annotations

from typing import Any

import torch
import torchattacks
from torch import nn

from benchmarks.attacks.cases import Case
from benchmarks.attacks.ours import Attack


def attack(model: nn.Module, case: Case) -> Attack | None:
    """The attack as a function of (x, y); None where the library does not have it."""
    p: dict[str, Any] = dict(case.parameters)
    made = _made(model, case, p)
    if made is None:
        return None
    if case.target is None:
        return made  # type: ignore[no-any-return]
    made.set_mode_targeted_by_label(quiet=True)
    return lambda x, y: made(x, torch.full_like(y, case.target))


def _made(model: nn.Module, case: Case, p: dict[str, Any]) -> Any:
    match case.attack, case.norm:
        case "fgsm", "linf":
            return torchattacks.FGSM(model, eps=case.epsilon)
        case "bim", "linf":
            return torchattacks.BIM(model, eps=case.epsilon, alpha=p["step_size"], steps=p["steps"])
        case "pgd", "linf":
            return torchattacks.PGD(
                model, eps=case.epsilon, alpha=p["step_size"], steps=p["steps"], random_start=p["random_start"]
            )
        case "mi_fgsm", "linf":
            return torchattacks.MIFGSM(
                model, eps=case.epsilon, alpha=p["step_size"], steps=p["steps"], decay=p["decay"]
            )
        case "carlini_wagner", "l2":
            # It does not search for c: as many steps at c = 1 as the others take in all their searches.
            steps = p["search_steps"] * p["steps"]
            return torchattacks.CW(model, c=1, kappa=p["confidence"], steps=steps, lr=p["learning_rate"])
        case "deepfool", "l2":
            return torchattacks.DeepFool(model, steps=p["steps"], overshoot=p["overshoot"])
        case "jsma", "l0":
            return torchattacks.JSMA(model, theta=p["theta"], gamma=p["max_fraction"])
        case "apgd", "linf":
            return torchattacks.APGD(model, norm="Linf", eps=case.epsilon, steps=p["steps"], rho=p["rho"])
        case "square", "linf":
            return torchattacks.Square(
                model, norm="Linf", eps=case.epsilon, n_queries=p["queries"], p_init=p["p_init"], loss="margin"
            )
    return None
