"""The cases in the words of IBM's Adversarial Robustness Toolbox (Nicolae et al., arXiv:1807.01069)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from art.attacks import evasion
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from benchmarks.attacks.cases import Case
from benchmarks.attacks.ours import Attack

CLASSES = 10


def attack(model: nn.Module, case: Case) -> Attack | None:
    """The attack as a function of (x, y), which are moved to numpy and back; None where ART does not have it."""
    device = next(model.parameters()).device
    shape = (3, 32, 32) if case.net == "resnet18" else (1, 28, 28)
    classifier = PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        input_shape=shape,
        nb_classes=CLASSES,
        clip_values=(0.0, 1.0),
        device_type="gpu" if device.type == "cuda" else "cpu",
    )
    made = _made(classifier, case, dict(case.parameters))
    if made is None:
        return None

    def run(x: Tensor, y: Tensor) -> Tensor:
        wanted = y if case.target is None else torch.full_like(y, case.target)
        labels = np.eye(CLASSES, dtype=np.float32)[wanted.cpu().numpy()]
        made.batch_size = len(x)
        return torch.from_numpy(np.asarray(made.generate(x=x.cpu().numpy(), y=labels), dtype=np.float32)).to(device)

    return run


def _made(classifier: Any, case: Case, p: dict[str, Any]) -> Any:
    steps: dict[str, Any] = {}
    if "steps" in p and "step_size" in p:
        steps = {"eps": case.epsilon, "eps_step": p["step_size"], "max_iter": p["steps"], "verbose": False}
    match case.attack, case.norm:
        case "fgsm", "linf":
            return evasion.FastGradientMethod(classifier, norm=np.inf, eps=case.epsilon)
        case "bim", "linf":
            return evasion.BasicIterativeMethod(classifier, **steps)
        case "pgd", "linf":
            return evasion.ProjectedGradientDescent(
                classifier, norm=np.inf, num_random_init=int(p["random_start"]), **steps
            )
        case "mi_fgsm", "linf":
            return evasion.MomentumIterativeMethod(classifier, norm=np.inf, decay=p["decay"], **steps)
        case "carlini_wagner", "l2":
            return evasion.CarliniL2Method(
                classifier,
                confidence=p["confidence"],
                learning_rate=p["learning_rate"],
                binary_search_steps=p["search_steps"],
                max_iter=p["steps"],
                initial_const=p["initial_c"],
                verbose=False,
            )
        case "deepfool", "l2":
            return evasion.DeepFool(
                classifier, max_iter=p["steps"], epsilon=p["overshoot"], nb_grads=p["candidates"], verbose=False
            )
        case "jsma", "l0":
            return evasion.SaliencyMapMethod(classifier, theta=p["theta"], gamma=p["max_fraction"], verbose=False)
        case "apgd", "linf":
            return evasion.AutoProjectedGradientDescent(
                classifier,
                norm=np.inf,
                eps=case.epsilon,
                eps_step=2 * case.epsilon,
                max_iter=p["steps"],
                nb_random_init=p["restarts"],
                loss_type="cross_entropy",
                verbose=False,
            )
        case "square", "linf":
            return evasion.SquareAttack(
                classifier, norm=np.inf, max_iter=p["queries"], eps=case.epsilon, p_init=p["p_init"], verbose=False
            )
    return None
