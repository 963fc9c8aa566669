"""The attacks of `distillation.py`: those that look at the softmax, and those that look past it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workers.engine.attack import AttackPlan, AttackResult, GoalSpec, run_attack
from workers.models import Classifier

SEED, CLASSES = 1, 10
# 14.5 % of 784 pixels: 112, in pairs.
UPSILON = 0.145
LINF = 0.25
JSMA = {"theta": 1.0, "max_fraction": UPSILON, "pairs": True}
CW = {
    "search_steps": 9,
    "steps": 200,
    "learning_rate": 0.2,
    "confidence": 0.0,
    "initial_c": 0.01,
    "abort_early": True,
}
PGD = {"steps": 20, "step_size": 0.03, "restarts": 1, "random_start": True}
Figures = dict[str, Any]


class Cooled(nn.Module):
    """A net whose logits are divided by the temperature that it was distilled at: the same answers."""

    def __init__(self, net: nn.Module, temperature: float) -> None:
        super().__init__()
        self.net, self.temperature = net, temperature

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) -> (N, 10)."""
        logits: Tensor = self.net(x) / self.temperature
        return logits


def looked_at(net: Classifier, x: Tensor, y: Tensor, chosen: Tensor) -> Figures:
    """The attacks that look at the softmax: JSMA on it, and one FGSM and 20 PGD steps up its cross-entropy."""
    return {
        "jsma": pixels(to_every_class(net, x[chosen], y[chosen], use_logits=False)),
        "fgsm": accuracy(net, x, y, "fgsm", {}),
        "pgd": accuracy(net, x, y, "pgd", {**PGD, "loss": "cross_entropy"}),
    }


def broken(net: Classifier, temperature: int, x: Tensor, y: Tensor, chosen: Tensor) -> Figures:
    """The attacks that look at the logits: JSMA twice, PGD on the margin, and Carlini and Wagner's."""
    cooled = to_every_class(Cooled(net, max(1, temperature)), x[chosen], y[chosen], use_logits=False)
    return {
        "jsma_cooled": pixels(cooled),
        "jsma_logits": pixels(to_every_class(net, x[chosen], y[chosen], use_logits=True)),
        "pgd_margin": accuracy(net, x, y, "pgd", {**PGD, "loss": "margin"}),
        "carlini_wagner": nearest(net, temperature, x[chosen], y[chosen]),
    }


def to_every_class(net: nn.Module, x: Tensor, y: Tensor, *, use_logits: bool) -> AttackResult:
    """JSMA from each digit to each class: the target of sample id i is i modulo 10; that of its own is not attacked."""
    plan = AttackPlan(
        name="jsma",
        norm="l0",
        epsilon=1e6,
        parameters={**JSMA, "use_logits": use_logits},
        goal=GoalSpec(kind="each"),
    )
    every = x.repeat_interleave(CLASSES, dim=0), y.repeat_interleave(CLASSES)
    return run_attack(net, *every, plan, sample_ids=torch.arange(CLASSES * len(x)), seed=SEED, batch_size=500)


def pixels(result: AttackResult) -> Figures:
    """Success, and the mean part of the pixels that the successes changed."""
    share = result.distance[result.success] / result.x_adv[0].numel()
    return {
        "success": int(result.success.sum()) / int(result.attacked.sum()),
        "attacks": int(result.attacked.sum()),
        "changed": float(share.mean()) if len(share) else None,
        "seconds": result.seconds,
    }


def accuracy(net: Classifier, x: Tensor, y: Tensor, name: str, parameters: dict[str, Any]) -> float:
    """What is left of 2,000 test digits within 0.25 of each pixel."""
    plan = AttackPlan(name=name, epsilon=LINF, parameters=parameters)
    result = run_attack(net, x, y, plan, sample_ids=torch.arange(len(x)), seed=SEED, batch_size=500)
    return float((result.prediction == y).float().mean())


def nearest(net: Classifier, temperature: int, x: Tensor, y: Tensor) -> Figures:
    """Carlini and Wagner's attack, each digit to one of its nine other classes, every class in its turn."""
    number = torch.arange(len(x))
    target = (y + 1 + number % (CLASSES - 1)) % CLASSES
    # Its weights are in units of logits, which are T times larger: each net's search starts at the same place.
    parameters = {**CW, "initial_c": CW["initial_c"] / max(1, temperature)}
    plan = AttackPlan(name="carlini_wagner", norm="l2", epsilon=1e3, parameters=parameters, goal=GoalSpec(kind="each"))
    result = run_attack(net, x, y, plan, sample_ids=CLASSES * number + target, seed=SEED, batch_size=100)
    return {
        "success": float(result.success.float().mean()),
        "mean_l2": float(result.distance[result.success].mean()),
        "seconds": result.seconds,
    }
